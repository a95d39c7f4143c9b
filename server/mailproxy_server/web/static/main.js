// The page: which view is shown, and what all of them share.

import { chosen, get } from "/static/api.js";
import { Charts } from "/static/charts.js";
import { el } from "/static/dom.js";
import { Caught, Inbox } from "/static/inbox.js";
import { Message } from "/static/message.js";
import { Messages } from "/static/messages.js";
import { Overview } from "/static/overview.js";
import { listen } from "/static/stream.js";

const EVERY = 3000;
const main = document.getElementById("main");
const charts = new Charts();
const overview = new Overview(charts);
const views = { overview, messages: new Messages(), message: new Message(), inbox: new Inbox(), caught: new Caught() };
let shown = overview;

function decoded(id) {
  try { return decodeURIComponent(id); } catch { return id; }  // somebody's own idea of an address
}

function show(first = false) {
  const [path, query] = (location.hash.slice(1) || "/").split("?");
  const [, name = "", id = ""] = path.split("/");
  const key = name === "" ? "overview" : name === "inbox" && id ? "caught" : name;
  shown = views[key] ?? overview;
  main.replaceChildren(...shown.view(key === "messages" ? new URLSearchParams(query) : decoded(id)));
  for (const link of document.querySelectorAll("nav a")) {
    const current = link.dataset.view === key || (key === "message" && link.dataset.view === "messages") || (key === "caught" && link.dataset.view === "inbox");
    if (current) link.setAttribute("aria-current", "page"); else link.removeAttribute("aria-current");
  }
  document.title = `${main.querySelector("h1").textContent} · gRPC Mail Proxy`;
  if (!first) main.focus();
  if (shown === overview && charts.now) charts.draw();
}

function follow() {
  charts.clear();
  overview.clear();
  listen((told) => { charts.feed(told); overview.feed(told); });
}

async function begin() {
  chosen.about = await get("/api/about");
  const { tenants, inbox, signed_in: signedIn } = chosen.about;
  document.getElementById("nav-inbox").hidden = !inbox;
  document.getElementById("logout").hidden = !signedIn;
  const select = document.getElementById("tenant");
  select.append(...tenants.map((each) => el("option", { value: each.id }, each.name)));
  document.getElementById("tenant-label").hidden = tenants.length < 2;
  chosen.tenant = tenants[0]?.id ?? "";
  select.addEventListener("change", () => { chosen.tenant = select.value; follow(); show(); });
  window.addEventListener("hashchange", () => show());
  show(true);
  follow();
  setInterval(() => shown.tick?.(), EVERY);
}

begin().catch((error) => main.replaceChildren(el("p", { class: "panel" }, error.message)));
