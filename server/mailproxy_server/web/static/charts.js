// Four charts of the last five minutes that move with the stream. uPlot draws; this feeds it.

import { el, seconds } from "/static/dom.js";

const KEPT = 300;
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

const clock = (at) => new Date(at * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });

const CHARTS = [
  { id: "throughput", title: "Throughput, a second", unit: (v) => String(v), lines: [["sent", "sent"], ["failed", "failed"], ["deferred", "deferred"]] },
  { id: "errors", title: "Errors, % of what ended", unit: (v) => `${v}%`, lines: [["errors", "failed"]] },
  { id: "queue", title: "Queue, recipients", unit: (v) => String(v), lines: [["due", "sent"], ["waiting", "deferred"], ["sending", "third"]] },
  { id: "latency", title: "Submitted to sent", unit: seconds, lines: [["p50", "sent"], ["p95", "deferred"], ["p99", "failed"]] },
];

export class Charts {
  constructor() {
    this.points = new Map();
    this.plots = new Map();
    this.dark = matchMedia("(prefers-color-scheme: dark)");
    this.redraw = () => { if (this.root?.isConnected) this.draw(); };
    this.dark.addEventListener("change", this.redraw);
    window.addEventListener("resize", this.redraw);
  }

  view() {
    this.root = el("div", { class: "grid" }, CHARTS.map((chart) =>
      el("figure", { class: "panel", "aria-labelledby": `title-${chart.id}` },
        el("h2", { id: `title-${chart.id}` }, chart.title),
        el("div", { class: "chart", id: `chart-${chart.id}`, role: "img", "aria-labelledby": `title-${chart.id}`, "aria-describedby": `told-${chart.id}` }),
        el("figcaption", { id: `told-${chart.id}` }, "nothing yet"))));
    return this.root;
  }

  clear() { this.points.clear(); }

  feed(told) {
    for (const [at, sent, failed, deferred, p50, p95, p99] of told.rows) {
      const ended = sent + failed;
      const point = this.points.get(at) || {};
      this.points.set(at, { ...point, sent, failed, deferred, errors: ended ? 100 * failed / ended : 0, p50, p95, p99 });
    }
    const now = Math.floor(told.now);
    const sum = (name) => told.queue.reduce((total, each) => total + each[name], 0);
    const queue = { due: sum("due"), waiting: sum("retrying") + sum("scheduled") + sum("held"), sending: sum("sending") };
    this.points.set(now, { ...(this.points.get(now) || {}), ...queue });
    for (const at of this.points.keys()) if (at < now - KEPT) this.points.delete(at);
    this.now = now;
    if (this.root?.isConnected) this.update();
  }

  draw() {
    for (const plot of this.plots.values()) plot.destroy();
    this.plots.clear();
    for (const chart of CHARTS) {
      const place = document.getElementById(`chart-${chart.id}`);
      if (!place) return;
      const axis = { stroke: colour("soft"), grid: { stroke: colour("line"), width: 1 }, ticks: { stroke: colour("line") } };
      const options = {
        width: place.clientWidth, height: place.clientHeight, legend: { show: false }, cursor: { drag: { x: false, y: false } },
        scales: { x: { time: true }, y: { range: (_, low, high) => [0, Math.max(high || 0, chart.id === "latency" ? 0.01 : 1) * 1.1] } },
        axes: [{ ...axis, values: (_, ticks) => ticks.map(clock) }, { ...axis, size: 58, values: (_, ticks) => ticks.map(chart.unit) }],
        series: [{}, ...chart.lines.map(([name, tone], number) => ({ label: name, stroke: colour(tone), width: 2, points: { show: chart.id === "latency", size: 4, fill: colour(tone) }, spanGaps: true, fill: number === 0 ? `${colour(tone)}22` : undefined }))],
      };
      this.plots.set(chart.id, new uPlot(options, this.data(chart), place));
    }
  }

  data(chart) {
    const times = [], lines = chart.lines.map(() => []);
    const counted = chart.id === "throughput" || chart.id === "errors";
    for (let at = this.now - KEPT; at < this.now; at += 1) {
      const point = this.points.get(at) || {};
      times.push(at);
      chart.lines.forEach(([name], number) => lines[number].push(point[name] ?? (counted ? 0 : null)));
    }
    return [times, ...lines];
  }

  update() {
    if (!this.plots.size) this.draw();
    for (const chart of CHARTS) {
      this.plots.get(chart.id)?.setData(this.data(chart));
      const point = this.latest(chart);
      const told = chart.lines.map(([name]) => `${name} ${point[name] === null || point[name] === undefined ? "–" : chart.unit(Math.round(point[name] * 1000) / 1000)}`);
      document.getElementById(`told-${chart.id}`).textContent = told.join(" · ");
    }
  }

  latest(chart) {
    for (let at = this.now - 1; at > this.now - 15; at -= 1) {
      const point = this.points.get(at);
      if (point && chart.lines.some(([name]) => point[name] !== null && point[name] !== undefined)) return point;
    }
    return {};
  }

  last(name, span) {
    const found = [];
    for (let at = this.now - span; at < this.now; at += 1) found.push(this.points.get(at)?.[name] ?? null);
    return found.filter((value) => value !== null);
  }
}
