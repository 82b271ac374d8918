// What is shown stands in the address: a link shows the same to another user, and Back goes back.

export const STATUSES = ["CREATED", "RUNNING", "SUSPENDED", "FINISHED", "FAILED", "CANCELLED", "LOST"];
export const FINAL = new Set(["FINISHED", "FAILED", "CANCELLED", "LOST"]);

/** Seconds by the name of a range that moves with the clock. */
export const RANGES = { "1h": 3600, "24h": 86400, "7d": 604800, "30d": 2592000 };
export const TABS = ["jobs", "statistics", "unmanaged"];
export const WINDOWS = ["24h", "7d", "30d", "all"];
export const PARTS = ["story", "flink", "kubernetes", "log", "spec"];
export const LIMITS = ["20", "50", "100", "200"];
export const DEFAULT_LIMIT = "50";

/** The filters that are texts, named as the parameters of GET api/jobs. A further one is one more name here. */
export const TEXT_FILTERS = ["template_id", "submitted_by", "cluster", "reason", "label"];

const SENT = ["q", ...TEXT_FILTERS, "health", "sort", "limit", "cursor"];
const NAMES = [...SENT, "range", "from", "to", "job", "part"];

/** A state without filters, on its first page. */
export const NO_FILTERS = {
  status: [],
  ...Object.fromEntries(["q", ...TEXT_FILTERS, "health", "range", "from", "to", "cursor"].map((name) => [name, ""])),
};

/** The state that the address names; what it does not name is empty. */
export function read() {
  const given = new URLSearchParams(location.search);
  const state = Object.fromEntries(NAMES.map((name) => [name, given.get(name) ?? ""]));
  const known = (name, words, otherwise) => (words.includes(given.get(name)) ? given.get(name) : otherwise);
  state.tab = known("tab", TABS, "jobs");
  state.status = (given.get("status") ?? "").split(",").filter((word) => STATUSES.includes(word));
  state.window = known("window", WINDOWS, "24h");
  state.sort = known("sort", ["end_time"], "");
  state.limit = known("limit", LIMITS, "");
  state.health = known("health", ["unhealthy"], "");
  state.part = known("part", PARTS, "");
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
  const sent = Object.fromEntries(SENT.map((name) => [name, state[name]]));
  return { status: state.status.join(","), ...sent, ...times(state, serverNow) };
}

function times(state, serverNow) {
  if (state.range === "custom") return { from: state.from, to: state.to };
  const seconds = RANGES[state.range];
  if (!seconds) return {};
  // A page's cursor belongs to its filters: an older page keeps the beginning that the newest one had.
  if (state.cursor && state.from) return { from: state.from };
  // In whole minutes: the same list can then be asked for again as one that is known already.
  const begin = Math.floor((serverNow - seconds * 1000) / MINUTE_MS) * MINUTE_MS;
  return { from: new Date(begin).toISOString() };
}

const MINUTE_MS = 60_000;

/** Whether anything is filtered. */
export const isFiltered = (state) => Object.entries(NO_FILTERS).some(([name]) => name !== "cursor" && state[name].length > 0);
