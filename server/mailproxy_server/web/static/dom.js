// Elements made of data, never of markup: what mail and relays say is text, whatever it holds.

export function el(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return made;
}

export function table(caption, heads, rows, empty) {
  const head = heads.map(([words, kind]) => el("th", { scope: "col", class: kind }, words));
  const body = rows.length ? rows : [el("tr", {}, el("td", { colspan: heads.length, class: "quiet" }, empty))];
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    el("table", {}, el("caption", {}, caption), el("thead", {}, el("tr", {}, head)), el("tbody", {}, body)));
}

export function tag(words, kind = "") {
  return el("span", { class: `tag ${kind}` }, words);
}

export function time(value) {
  const at = new Date(value);
  return el("time", { datetime: at.toISOString(), title: at.toISOString() }, at.toLocaleString());
}

export const short = (value) => Number(value || 0).toLocaleString();

export function seconds(value) {
  if (value === null || value === undefined) return "–";
  if (value < 1) return `${Math.round(value * 1000)} ms`;
  if (value < 120) return `${value.toFixed(1)} s`;
  return value < 7200 ? `${Math.round(value / 60)} min` : `${Math.round(value / 3600)} h`;
}

const KINDS = { SENT: "good", CAPTURED: "good", FAILED: "bad", EXPIRED: "bad", DEFERRED: "warn", QUEUED: "", SENDING: "", CANCELLED: "" };
export function state(name) {
  const word = name.replace(/^(DELIVERY_STATE|REPORT_EVENT)_/, "");
  return tag(word.toLowerCase(), KINDS[word] ?? "");
}

let timer;
export function say(words, bad = false) {
  const said = document.getElementById("said");
  said.textContent = words;
  said.classList.toggle("bad", bad);
  clearTimeout(timer);
  timer = setTimeout(() => { said.textContent = ""; }, bad ? 12000 : 5000);
}

export function ask(title, words, yes) {
  const dialog = document.getElementById("ask");
  document.getElementById("ask-title").textContent = title;
  document.getElementById("ask-words").textContent = words;
  document.getElementById("ask-yes").textContent = yes;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true }));
}
