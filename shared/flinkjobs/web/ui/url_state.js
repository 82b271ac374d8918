// What is shown stands in the address: a link shows the same to another user, and Back goes back.

export const STATUSES = ["CREATED", "RUNNING", "SUSPENDED", "FINISHED", "FAILED", "CANCELLED", "LOST"];
export const FINAL = new Set(["FINISHED", "FAILED", "CANCELLED", "LOST"]);

/** Seconds by the name of a range that moves with the clock. */
export const RANGES = { "1h": 3600, "24h": 86400, "7d": 604800, "30d": 2592000 };
export const TABS = ["jobs", "statistics", "unmanaged"];
export const WINDOWS = ["24h", "7d", "30d", "all"];

const NAMES = ["q", "template_id", "label", "health", "range", "from", "to", "cursor", "job"];

/** The state that the address names; what it does not name is empty. */
export function read() {
  const given = new URLSearchParams(location.search);
  const state = Object.fromEntries(NAMES.map((name) => [name, given.get(name) ?? ""]));
  state.tab = TABS.includes(given.get("tab")) ? given.get("tab") : "jobs";
  state.status = (given.get("status") ?? "").split(",").filter((word) => STATUSES.includes(word));
  state.window = WINDOWS.includes(given.get("window")) ? given.get("window") : "24h";
  if (state.health !== "unhealthy") state.health = "";
  if (!Object.hasOwn(RANGES, state.range) && state.range !== "custom") state.range = "";
  return state;
}

/** The address of a state, relative to the page. */
export function href(state) {
  const query = new URLSearchParams();
  if (state.tab !== "jobs") query.set("tab", state.tab);
  if (state.status.length) query.set("status", state.status.join(","));
  for (const name of NAMES) if (state[name]) query.set(name, state[name]);
  if (state.window !== "24h") query.set("window", state.window);
  return `?${query}`.replaceAll("%2C", ",").replaceAll("%3A", ":").replaceAll("%3D", "=").replaceAll("%2F", "/");
}

/** The parameters of GET api/jobs for a state. */
export function listParameters(state, serverNow) {
  const { q, template_id, label, health, cursor } = state;
  return { status: state.status.join(","), q, template_id, label, health, cursor, ...times(state, serverNow) };
}

function times(state, serverNow) {
  if (state.range === "custom") return { from: state.from, to: state.to };
  const seconds = RANGES[state.range];
  if (!seconds) return {};
  // A page's cursor belongs to its filters: an older page keeps the beginning that the newest one had.
  if (state.cursor && state.from) return { from: state.from };
  return { from: new Date(serverNow - seconds * 1000).toISOString() };
}

/** Whether anything is filtered. */
export const isFiltered = (state) =>
  Boolean(state.status.length || state.q || state.template_id || state.label || state.health || state.range);
