// The overview: how much flows and how well, the accounts, and what failed of late.

import { call } from "/static/api.js";
import { el, say, seconds, short, state, table, tag, time } from "/static/dom.js";

const FAILURES = 100;
const TILES = [["rate", "Sent a second"], ["success", "Success, last minute"], ["due", "Due now"], ["p95", "Latency p95, last minute"]];

export class Overview {
  constructor(charts) {
    this.charts = charts;
    this.failures = [];
  }

  view() {
    this.tiles = new Map(TILES.map(([id]) => [id, el("dd", { id: `tile-${id}` }, "–")]));
    this.accounts = el("section", { class: "panel", "aria-label": "Accounts" });
    this.failed = el("section", { class: "panel", "aria-label": "Recent failures" });
    this.showFailures();
    this.refresh();
    return [el("h1", {}, "Overview"),
      el("dl", { class: "tiles" }, TILES.map(([id, words]) => el("div", {}, el("dt", {}, words), this.tiles.get(id)))),
      this.charts.view(), this.accounts, this.failed];
  }

  clear() { this.failures = []; }

  feed(told) {
    const known = new Set(this.failures.map((each) => each.offset));  // a stream that was opened again tells all of them again
    const fresh = told.failures.filter((each) => !known.has(each.offset)).reverse();
    this.failures = [...fresh, ...this.failures].slice(0, FAILURES);
    if (!this.tiles?.get("rate").isConnected) return;
    const sent = this.charts.last("sent", 60).reduce((a, b) => a + b, 0);
    const failed = this.charts.last("failed", 60).reduce((a, b) => a + b, 0);
    const recent = this.charts.last("sent", 6).reduce((a, b) => a + b, 0) / 5;
    const p95 = this.charts.last("p95", 60);
    this.tiles.get("rate").textContent = recent >= 10 ? Math.round(recent) : recent.toFixed(1);
    this.tiles.get("success").textContent = sent + failed ? `${(100 * sent / (sent + failed)).toFixed(1)}%` : "–";
    this.tiles.get("due").textContent = short(told.queue.reduce((total, each) => total + each.due, 0));
    this.tiles.get("p95").textContent = p95.length ? seconds(Math.max(...p95)) : "–";
    if (fresh.length) this.showFailures();
  }

  tick() { if (this.accounts?.isConnected && !this.accounts.contains(document.activeElement)) this.refresh(); }

  async refresh() {
    try {
      const status = await call("QueueService/GetQueueStatus");
      const dead = !status.dispatchers.some((each) => each.alive);
      const rows = status.accounts.map((account) => this.row(account));
      const heads = [["Account"], ["Relay"], ["Due", "number"], ["Retrying", "number"], ["Scheduled", "number"], ["Sending", "number"], ["Limits"], ["Actions"]];
      this.accounts.replaceChildren(...[
        dead ? el("p", { class: "tag bad" }, "No dispatcher is alive: nothing is sent") : null,
        table("Accounts", heads, rows, "No account yet: mailproxy account create"),
      ].filter(Boolean));
    } catch (error) { say(error.message, true); }
  }

  row(account) {
    const health = account.health || {};
    const open = health.breaker === "BREAKER_STATE_OPEN";
    const kind = health.paused ? "warn" : open ? "bad" : "good";
    const words = health.paused ? "paused" : open ? "broken" : health.throttledConnections ? "throttled" : "works";
    const selector = { accountId: account.accountId };
    const act = (method, request, done) => async (event) => {
      event.target.disabled = true;
      try { say(done(await call(method, request))); } catch (error) { say(error.message, true); }
      await this.refresh();
    };
    const pause = health.paused
      ? el("button", { onclick: act("QueueService/ResumeQueue", { selector }, (r) => `${account.accountId} goes on, ${short(r.released)} released`) }, "Resume")
      : el("button", { onclick: act("QueueService/PauseQueue", { selector, note: "paused on the page" }, (r) => `${account.accountId} is paused, ${short(r.held)} held`) }, "Pause");
    const hurry = el("button", { onclick: act("QueueService/RunNow", { selector, includeRetries: true }, (r) => `${short(r.madeDue)} made due`) }, "Run now");
    return el("tr", {},
      el("th", { scope: "row" }, account.accountId),
      el("td", {}, tag(words, kind), open && health.remedy ? el("div", { class: "quiet" }, health.remedy) : null,
        open && health.reply?.text ? el("div", { class: "mono" }, `${health.reply.code} ${health.reply.text}`) : null),
      ...["due", "retrying", "scheduled", "sending"].map((name) => el("td", { class: "number" }, short(account[name]))),
      el("td", {}, (health.limits || []).map((use) => this.limit(use))),
      el("td", {}, el("div", { class: "buttons" }, pause, hurry)));
  }

  limit(use) {
    const window = seconds(parseFloat(use.limit.window));
    const used = Number(use.used || 0), most = Number(use.limit.count);
    return el("div", {}, el("meter", { min: 0, max: most, high: most * 0.9, value: Math.min(used, most), "aria-label": `${used} of ${most} used in ${window}` }), ` ${short(used)} of ${short(most)} in ${window}`);
  }

  showFailures() {
    const rows = this.failures.map((each) => el("tr", {},
      el("td", {}, time(each.time)),
      el("td", {}, each.message_id ? el("a", { href: `#/message/${each.message_id}` }, each.recipient) : each.recipient),
      el("td", {}, each.account), el("td", {}, state(each.event)),
      el("td", { class: "words" }, [each.code || "", each.text || each.reason].join(" "))));
    const heads = [["When"], ["Recipient"], ["Account"], ["What"], ["The relay's words"]];
    this.failed?.replaceChildren(table("Recent failures", heads, rows, "Nothing failed in the last five minutes"));
  }
}

