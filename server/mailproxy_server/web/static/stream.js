// The stream of what happens: opened for the tenant chosen, opened again when it breaks.

import { chosen } from "/static/api.js";

let source;

export function listen(told) {
  const live = document.getElementById("live");
  source?.close();
  source = new EventSource(`/api/events?tenant=${chosen.tenant}`);
  const show = (words, kind) => { live.textContent = words; live.className = `live ${kind}`; };
  source.addEventListener("open", () => show("live", "on"));
  source.addEventListener("error", () => show("connection lost, trying again", "off"));
  source.addEventListener("message", (event) => told(JSON.parse(event.data)));
}
