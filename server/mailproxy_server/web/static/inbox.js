// The demo's inbox: what was caught, and each message as a mail client would show it.

import { get } from "/static/api.js";
import { el, say, short, table, time } from "/static/dom.js";

export class Inbox {
  view() {
    this.place = el("section", { class: "panel", "aria-label": "Caught mail" });
    this.refresh();
    return [el("h1", {}, "Inbox of the demo"), el("p", { class: "quiet" }, "What was sent to the demo's relay. Nothing leaves this machine."), this.place];
  }

  tick() { if (this.place?.isConnected && !this.place.contains(document.activeElement)) this.refresh(); }

  async refresh() {
    try {
      const found = await get("/api/inbox");
      const rows = found.messages.map((each) => el("tr", {}, el("td", {}, time(each.time)), el("td", { class: "words" }, el("a", { href: `#/inbox/${each.name}` }, each.subject || "(no subject)")),
        el("td", { class: "words" }, each.from || "<>"), el("td", { class: "words" }, each.to.join(", ")), el("td", { class: "number" }, `${short(each.size)} B`)));
      this.place.replaceChildren(table("Caught, the newest first", [["When"], ["Subject"], ["From"], ["To"], ["Size", "number"]], rows, "Nothing was caught yet."));
    } catch (error) { say(error.message, true); }
  }
}

export class Caught {
  view(name) {
    this.place = el("div", {}, el("p", { class: "quiet" }, "Opening …"));
    this.open(name);
    return [el("p", {}, el("a", { href: "#/inbox" }, "Inbox")), el("h1", {}, "Mail"), this.place];
  }

  async open(name) {
    try { this.show(name, await get(`/api/inbox/${name}`)); } catch (error) { this.place.replaceChildren(el("p", {}, error.message)); }
  }

  show(name, mail) {
    const facts = Object.entries(mail.headers).map(([field, value]) => [el("dt", {}, field), el("dd", {}, value)]);
    const files = mail.files.map((file, number) => el("li", {}, el("a", { href: `/inbox/${name}/file/${number}`, download: file.name }, file.name), ` ${file.type}, ${short(file.size)} B`));
    const log = mail.message_id ? el("p", {}, el("a", { href: `#/message/${mail.message_id}` }, "Its way through the proxy")) : null;
    const frame = mail.html ? el("iframe", { class: "mail", sandbox: "", src: `/inbox/${name}/html`, title: "The message's HTML" }) : null;
    this.place.replaceChildren(...[
      el("section", { class: "panel", "aria-label": "Headers" }, el("dl", { class: "facts" }, facts), log),
      frame ? el("section", { class: "panel" }, el("h2", {}, "HTML"), frame) : null,
      mail.text ? el("section", { class: "panel" }, el("h2", {}, "Text"), el("pre", { tabindex: "0" }, mail.text)) : null,
      files.length ? el("section", { class: "panel" }, el("h2", {}, "Attachments"), el("ul", {}, files)) : null,
      el("p", {}, el("a", { href: `/inbox/${name}/source`, target: "_blank" }, "Source")),
    ].filter(Boolean));
  }
}
