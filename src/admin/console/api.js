// Speaks to /v1 of the port this page came from, and to nobody else.

const tokenName = "idempotency-gateway.token";

/** What the gateway refused, or why it could not be asked, in one sentence. */
export class ApiError extends Error {
  constructor(message, { status = 0, code = "" } = {}) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** For this tab only: gone when it is closed, and never in an address, a cookie or the cache. */
export const token = {
  get: () => sessionStorage.getItem(tokenName),
  set: (value) => sessionStorage.setItem(tokenName, value),
  forget: () => sessionStorage.removeItem(tokenName),
};

let onRefused = () => {};

/** What to do when the token is missing or not accepted any more. */
export function whenRefused(listener) {
  onRefused = listener;
}

/**
 * @param {"GET" | "POST" | "DELETE"} method
 * @param {string} path without a leading slash: the port may be reached below a path of a reverse proxy
 * @param {{ body?: object, ifMatch?: string | null, signal?: AbortSignal }} [options]
 */
export async function call(method, path, { body, ifMatch, signal } = {}) {
  const response = await send(method, path, { body, ifMatch, signal });
  const data = parse(await response.text());
  if (response.ok && data !== undefined) return { data, etag: response.headers.get("ETag") };
  const { detail, code } = data ?? {};
  if (response.status === 401 && code === "unauthorized") onRefused();
  const message = typeof detail === "string" ? detail : `The admin port answered ${response.status}.`;
  throw new ApiError(message, { status: response.status, code });
}

async function send(method, path, { body, ifMatch, signal }) {
  try {
    const headers = new Headers({ Accept: "application/json" });
    const bearer = token.get();
    if (bearer !== null) headers.set("Authorization", `Bearer ${bearer}`);
    if (ifMatch) headers.set("If-Match", ifMatch);
    if (body !== undefined) headers.set("Content-Type", "application/json");
    return await fetch(new URL(path, document.baseURI), {
      method,
      headers,
      cache: "no-store",
      credentials: "same-origin",
      // A token must not follow a redirect to somebody else.
      redirect: "error",
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(signal === undefined ? {} : { signal }),
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("The admin port cannot be reached.");
  }
}

/** `undefined`: not JSON. An answer without a body is `null`. */
function parse(text) {
  if (text === "") return null;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
