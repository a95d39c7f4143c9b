// One message: where its recipients stand, why it waits, and its timeline with the SMTP dialogues.

import { call, chosen } from "/static/api.js";
import { ask, el, say, seconds, state, table, tag, time } from "/static/dom.js";

const OVER = new Set(["SENT", "FAILED", "EXPIRED", "CANCELLED", "CAPTURED"].map((name) => `DELIVERY_STATE_${name}`));

export class Message {
  view(id) {
    this.id = id;
    this.place = el("div", {}, el("p", { class: "quiet" }, "Looking it up …"));
    this.refresh();
    return [el("h1", {}, "Message"), this.place];
  }

  tick() { if (this.place?.isConnected && !this.over && !this.place.contains(document.activeElement)) this.refresh(); }

  async refresh() {
    try {
      const found = await call("MessageService/GetMessage", { messageId: this.id, includeAttempts: true });
      this.over = found.recipients.every((each) => OVER.has(each.state));
      const why = this.over ? null : await call("MessageService/ExplainMessage", { messageId: this.id });
      this.place.replaceChildren(...this.parts(found, why).filter(Boolean));
    } catch (error) {
      this.over = true;
      this.place.replaceChildren(el("p", {}, error.message));
    }
  }

  parts(found, why) {
    return [this.facts(found), this.buttons(found), why ? this.waits(why) : null, this.recipients(found), this.timeline(found)];
  }

  facts(found) {
    const trace = (found.traceparent || "").split("-")[1];
    const link = trace && chosen.about.trace_url ? el("a", { href: chosen.about.trace_url.replace("{trace_id}", trace), rel: "noreferrer", target: "_blank" }, trace) : trace;
    const rows = [["Subject", found.subject], ["Message id", el("code", {}, found.messageId)], ["request_id", found.requestId], ["Account", found.accountId],
      ["Priority", found.priority.replace("PRIORITY_", "").toLowerCase()], ["From (MAIL FROM)", found.returnPath || "<>"], ["Accepted", time(found.acceptTime)],
      ["Send time", found.sendTime ? time(found.sendTime) : ""], ["Expires", found.expireTime ? time(found.expireTime) : ""],
      ["Labels", Object.entries(found.labels).map(([name, value]) => `${name}=${value}`).join(", ")], ["Trace", link || ""]];
    return el("section", { class: "panel", "aria-label": "Facts" }, el("dl", { class: "facts" },
      rows.filter(([, value]) => value).map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])));
  }

  buttons(found) {
    const states = new Set(found.recipients.map((each) => each.state.replace("DELIVERY_STATE_", "")));
    const act = async (method, request, done) => {
      try { say(done(await call(method, request))); } catch (error) { say(error.message, true); }
      await this.refresh();
    };
    const made = [];
    if (states.has("FAILED") || states.has("EXPIRED")) made.push(el("button", { class: "main", onclick: () => act("MessageService/RetryMessage", { messageId: this.id }, (r) => `${r.requeued} back in the queue`) }, "Retry"));
    if (states.has("QUEUED")) {
      made.push(el("button", { onclick: () => act("QueueService/RunNow", { selector: { messageIds: [this.id] }, includeRetries: true, includeScheduled: true }, (r) => `${r.madeDue} made due`) }, "Run now"));
      made.push(el("button", { onclick: async () => {
        if (await ask("Cancel this message?", "Recipients that were not sent to yet will not get it.", "Cancel it")) await act("MessageService/CancelMessage", { messageId: this.id }, (r) => `${r.cancelled} cancelled`);
      } }, "Cancel"));
    }
    made.push(el("button", { onclick: () => this.refresh() }, "Look again"));
    return el("div", { class: "buttons panel" }, made);
  }

  waits(why) {
    const items = why.recipients.flatMap((each) => each.waits.map((wait) => el("li", {}, `${each.recipient}: ${wait.words} `, wait.until ? el("span", { class: "when" }, "until ", time(wait.until)) : null)));
    if (!items.length) return null;
    return el("section", { class: "panel", "aria-label": "Why it waits" }, el("h2", {}, "Why it waits"), el("ul", {}, items));
  }

  recipients(found) {
    const rows = found.recipients.map((each) => {
      const last = each.lastReport || {};
      const words = last.reply?.code ? `${last.reply.code} ${last.reply.enhancedCode} ${last.reply.text}` : last.detail || "";
      return el("tr", {}, el("td", { class: "words" }, each.recipient), el("td", {}, state(each.state)), el("td", { class: "number" }, String(each.attempts)),
        el("td", { class: "words" }, words, last.possibleDuplicate ? tag("possible duplicate", "warn") : null), el("td", {}, each.nextAttemptTime ? time(each.nextAttemptTime) : ""));
    });
    return el("section", { class: "panel" }, table("Recipients", [["Recipient"], ["State"], ["Attempts", "number"], ["The relay's last words"], ["Next attempt"]], rows, "None are kept any more."));
  }

  timeline(found) {
    const events = [{ at: found.acceptTime, item: el("li", { class: "good" }, el("strong", {}, "Submitted "), el("span", { class: "when" }, time(found.acceptTime))) }];
    for (const attempt of found.attempts) events.push({ at: attempt.endTime, item: this.attempt(attempt) });
    for (const each of found.recipients) {
      const last = each.lastReport;
      if (last && !last.attempt) events.push({ at: last.eventTime, item: el("li", {}, state(last.event), ` ${each.recipient} `, el("span", { class: "when" }, time(last.eventTime))) });
    }
    events.sort((one, other) => new Date(one.at) - new Date(other.at));
    return el("section", { class: "panel", "aria-label": "Timeline" }, el("h2", {}, "Timeline"), el("ol", { class: "timeline" }, events.map((each) => each.item)));
  }

  attempt(attempt) {
    const steps = attempt.exchanges || [];
    const last = steps[steps.length - 1];
    const worst = steps.find((step) => step.fault || (step.reply?.code ?? 0) >= 400);
    const kind = !last || worst ? ((worst?.reply?.code ?? 500) < 500 && !worst?.fault ? "warn" : "bad") : "good";
    const words = worst ? worst.fault || `${worst.reply.code} ${worst.reply.text}` : last?.reply ? `${last.reply.code} ${last.reply.text}` : "no dialogue";
    const rows = steps.map((step) => el("tr", {}, el("td", {}, step.stage), el("td", {}, step.command), el("td", {}, step.fault || `${step.reply.code} ${step.reply.enhancedCode} ${step.reply.text}`), el("td", { class: "number" }, `${step.elapsedMs} ms`)));
    return el("li", { class: kind }, el("strong", {}, `Attempt ${attempt.attempt} `), `${attempt.recipient} by ${attempt.relayHost} `, el("span", { class: "when" }, time(attempt.endTime)),
      el("div", {}, words), el("details", { open: kind !== "good" }, el("summary", {}, `SMTP dialogue, ${seconds((last?.elapsedMs ?? 0) / 1000)}`),
        el("div", { class: "dialogue" }, table(`Dialogue of attempt ${attempt.attempt}`, [["Stage"], ["We said"], ["The relay said"], ["After", "number"]], rows, "Nothing was said."))));
  }
}
