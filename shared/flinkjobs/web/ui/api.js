// Requests to the read side. An answer is data or an error with a kind; nothing else is made of it.

const TIMEOUT_MS = 20_000;
/** The function waits 180 s for sync, and says so itself when it gives up. */
const SYNC_TIMEOUT_MS = 190_000;

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

/** GET of JSON. `parameters` without the empty ones. */
export function get(path, parameters = {}, signal = null) {
  const query = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value));
  return request(query.size ? `${path}?${query}` : path, { signal });
}

/** POST that asks for a sync, without a body, marked as the page's own: no other site can send this header. */
export const post = (path) =>
  request(path, { method: "POST", headers: { "X-Flinkjobs": "1" }, timeoutMs: SYNC_TIMEOUT_MS });

async function request(address, { signal = null, timeoutMs = TIMEOUT_MS, ...options }) {
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
  const body = parsed(text);
  if (answer.ok && body) return body;
  const { status } = answer;
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
