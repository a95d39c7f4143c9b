// Searching messages: by id, request_id, recipient or label; and by state and account.

import { call } from "/static/api.js";
import { el, say, short, state, table, time } from "/static/dom.js";

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const STATES = ["queued", "sending", "sent", "failed", "expired", "cancelled", "captured"];

export class Messages {
  view(query) {
    this.words = el("input", { id: "words", name: "words", type: "search", value: query.get("words") || "", autocomplete: "off", spellcheck: "false" });
    this.state = el("select", { id: "state" }, el("option", { value: "" }, "any state"), STATES.map((name) => el("option", { value: name, selected: query.get("state") === name }, name)));
    this.account = el("input", { id: "account", value: query.get("account") || "", size: 12 });
    this.results = el("section", { class: "panel", "aria-label": "Results" });
    const form = el("form", { class: "panel search", role: "search", onsubmit: (event) => { event.preventDefault(); this.go(); } },
      el("label", { class: "wide", for: "words" }, "Message id, request_id, recipient, or label as name=value", this.words),
      el("label", { for: "state" }, "State", this.state), el("label", { for: "account" }, "Account", this.account),
      el("button", { class: "main" }, "Search"));
    this.search("");
    return [el("h1", {}, "Messages"), form, this.results];
  }

  go() {
    const query = new URLSearchParams();
    for (const [name, field] of [["words", this.words], ["state", this.state], ["account", this.account]]) if (field.value.trim()) query.set(name, field.value.trim());
    const next = `#/messages?${query}`;
    if (location.hash === next) this.search(""); else location.hash = next;
  }

  async search(token) {
    const words = this.words.value.trim();
    try {
      if (words && !words.includes("@") && !words.includes("=")) {
        const target = UUID.test(words) ? { messageId: words } : { requestId: words };
        const found = await call("MessageService/GetMessage", target);
        location.hash = `#/message/${found.messageId}`;
        return;
      }
      const request = { pageSize: 50, pageToken: token, selector: {} };
      if (words.includes("@")) request.recipient = words;
      else if (words) { const [name, ...rest] = words.split("="); request.selector.labels = { [name]: rest.join("=") }; }
      if (this.account.value.trim()) request.selector.accountId = this.account.value.trim();
      if (this.state.value) request.states = [`DELIVERY_STATE_${this.state.value.toUpperCase()}`];
      this.show(await call("MessageService/ListMessages", request));
    } catch (error) {
      this.results.replaceChildren(el("p", { class: "quiet" }, "Nothing found."));
      say(error.message, true);
    }
  }

  show(page) {
    const rows = page.messages.map((each) => el("tr", {},
      el("td", {}, time(each.acceptTime)),
      el("td", {}, el("a", { href: `#/message/${each.messageId}`, class: "mono" }, each.messageId)),
      el("td", {}, each.accountId),
      el("td", {}, each.states.map((one) => [state(one.state), ` ${short(one.count)} `])),
      el("td", { class: "words" }, Object.entries(each.labels).map(([name, value]) => `${name}=${value}`).join(" ") || each.requestId)));
    const heads = [["Accepted"], ["Message"], ["Account"], ["Recipients"], ["Labels or request_id"]];
    const more = page.nextPageToken ? el("button", { onclick: () => this.search(page.nextPageToken) }, "Older ones") : null;
    this.results.replaceChildren(...[table("Messages, the newest first", heads, rows, "Nothing matches."), more].filter(Boolean));
  }
}
