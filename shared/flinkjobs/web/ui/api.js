// Requests to the read side. An answer is data or an error with a kind; nothing else is made of it.

const TIMEOUT_MS = 20_000;
/** Longer than the function waits for sync and submit, which says itself when it gives up. */
const SYNC_TIMEOUT_MS = 20_000;

/** The last answer of each path with the address that it answers: what has not changed is not sent again. */
const held = new Map();

/**
 * Why there is no data: `offline`, `timeout`, `login` (a proxy before the function asks for a sign-in),
 * `not_json`, `problem` (the function's own words), `status`.
 */
export class ApiError extends Error {
  constructor(kind, { status = null, detail = null } = {}) {
    super(detail ?? kind);
    this.kind = kind;
    this.status = status;
    this.detail = detail;
  }
}

/** GET of JSON: the very object of the last answer while nothing has changed. `parameters` without the empty ones. */
export async function get(path, parameters = {}, { signal = null, timeoutMs = TIMEOUT_MS } = {}) {
  const query = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value));
  const address = query.size ? `${path}?${query}` : path;
  const known = held.get(path)?.address === address ? held.get(path) : null;
  const headers = known ? { "If-None-Match": known.etag } : {};
  const { body, etag, status } = await request(address, { signal, timeoutMs, headers });
  if (status === 304 && known) return known.body;
  if (etag) held.set(path, { address, etag, body });
  return body;
}

/** POST that asks for a sync or an action, marked as the page's own: no other site can send this header. */
export async function post(path, { body = null, signal = null, key = null } = {}) {
  const headers = {
    "X-Flinkjobs": "1",
    ...(body ? { "Content-Type": "application/json" } : {}),
    ...(key ? { "Idempotency-Key": key } : {}),
  };
  const sent = body ? JSON.stringify(body) : undefined;
  return (await request(path, { method: "POST", headers, body: sent, signal, timeoutMs: SYNC_TIMEOUT_MS })).body;
}

async function request(address, { signal, timeoutMs, ...options }) {
  const timeout = AbortSignal.timeout(timeoutMs);
  let answer;
  let text;
  try {
    answer = await fetch(address, {
      ...options,
      cache: "no-store",
      redirect: "manual", // the function itself never redirects: it would be a login's address
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
    });
    text = await answer.text();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(timeout.aborted ? "timeout" : "offline");
  }
  const { status } = answer;
  if (status === 304) return { status };
  const body = parsed(text);
  if (answer.ok && body) return { status, body, etag: answer.headers.get("ETag") };
  if (answer.type === "opaqueredirect") throw new ApiError("login", { status: "3xx" });
  if (!body && (status === 401 || status === 403)) throw new ApiError("login", { status });
  if (answer.ok || !body) throw new ApiError(answer.ok ? "not_json" : "status", { status });
  throw new ApiError("problem", { status, detail: typeof body.detail === "string" ? body.detail : null });
}

function parsed(text) {
  try {
    const body = JSON.parse(text);
    return body && typeof body === "object" ? body : null;
  } catch {
    return null;
  }
}
