/** A request to the admin port that came to nothing, told in one line. */
export class AdminError extends Error {
  override readonly name = "AdminError";
}

export interface AdminAddress {
  readonly url: string;
  readonly token: string | null;
}

const timeoutMs = 30_000;

/** Speaks to the admin port of a running gateway; everything it answers but problems is handed back. */
export class AdminClient {
  readonly #base: URL;
  readonly #token: string | null;

  constructor({ url, token }: AdminAddress) {
    if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
      throw new AdminError(`${url} is not the address of an admin port; write http://HOST:PORT`);
    }
    // With a slash at its end, so that a path of its own is kept.
    this.#base = new URL(url.endsWith("/") ? url : `${url}/`);
    this.#token = token;
  }

  async call(method: "GET" | "DELETE" | "POST", path: string, body?: unknown): Promise<unknown> {
    const headers = {
      ...(this.#token === null ? {} : { authorization: `Bearer ${this.#token}` }),
      ...(body === undefined ? {} : { "content-type": "application/json" }),
    };
    let status: number;
    let text: string;
    try {
      const response = await fetch(new URL(path, this.#base), {
        method,
        headers,
        // A token must not follow a redirect to somebody else.
        redirect: "error",
        signal: AbortSignal.timeout(timeoutMs),
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      status = response.status;
      text = await response.text();
    } catch (error) {
      throw new AdminError(`the admin port at ${this.#base.origin} cannot be reached: ${reasonOf(error)}`);
    }
    const answer = parsed(text);
    if (status >= 400) throw new AdminError(this.#complaint(status, answer));
    if (answer === undefined) throw new AdminError(`${this.#base.origin} is not an admin port: it did not answer JSON`);
    return answer;
  }

  #complaint(status: number, answer: unknown): string {
    const { detail, code } = (answer ?? {}) as { detail?: unknown; code?: unknown };
    if (typeof detail !== "string") return `${this.#base.origin} answered ${status}; is it an admin port?`;
    return `${detail} (${status} ${String(code)})`;
  }
}

/** `undefined`: not JSON. An answer without a body is `null`. */
function parsed(text: string): unknown {
  if (text === "") return null;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** `fetch failed` says nothing; its cause does. */
function reasonOf(error: unknown): string {
  const { message, cause } = error as Error;
  if (cause instanceof AggregateError) return cause.errors.map((one: Error) => one.message).join(", ");
  return cause instanceof Error ? cause.message : message;
}
