// What the page asks of the server: the calls of the contract, as JSON, for the tenant chosen.

export const chosen = { tenant: "", about: {} };

export class Refused extends Error {}

async function read(answer) {
  if (answer.status === 401) location.assign("/login");
  const text = await answer.text();
  let found;
  try { found = JSON.parse(text); } catch { throw new Refused(text.trim() || `the server answered ${answer.status}`); }
  if (!answer.ok) throw new Refused(found.message || `the server answered ${answer.status}`);
  return found;
}

export async function get(path) {
  return read(await fetch(path, { headers: { accept: "application/json" } }));
}

export async function call(method, request = {}) {
  return read(await fetch(`/api/call/${method}?tenant=${chosen.tenant}`, {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(request),
  }));
}
