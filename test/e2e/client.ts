import { type ClientRequest, type IncomingMessage, request } from "node:http";
import { pairsOf } from "./upstream.js";

export interface Reply {
  readonly status: number;
  readonly headers: readonly [name: string, value: string][];
  readonly body: Buffer;
  readonly text: string;
  /** The code of a problem document. */
  readonly code: string | undefined;
  readonly isReplayed: boolean;
}

export interface Sent {
  readonly reply: Promise<Reply>;
  /** Breaks the connection; `reply` rejects. */
  hangUp(): void;
}

export interface Request {
  readonly method?: string;
  readonly key?: string;
  readonly body?: string | Buffer;
  readonly headers?: Record<string, string | string[]>;
  readonly timeoutMs?: number;
}

/** Sends on a connection of its own, and does not wait. */
export function send(url: string, { method = "POST", key, body = "", headers, timeoutMs = 20_000 }: Request): Sent {
  let sent: ClientRequest | undefined;
  const reply = new Promise<Reply>((resolve, reject) => {
    // Not parsed as a URL: that would tidy up the path.
    const [, host, port, path] = /^http:\/\/([^:/]+):(\d+)(.*)$/.exec(url) ?? [];
    sent = request({
      host,
      port,
      path: path || "/",
      method,
      agent: false,
      headers: {
        "content-type": "application/json",
        "content-length": String(Buffer.byteLength(body)),
        ...(key === undefined ? {} : { "idempotency-key": key }),
        ...headers,
      },
    });
    const timer = setTimeout(() => sent?.destroy(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
    const fail = (error: Error) => {
      clearTimeout(timer);
      reject(error);
    };
    sent.once("error", fail);
    sent.once("response", (response) => {
      response.once("error", fail);
      read(response).then((whole) => {
        clearTimeout(timer);
        resolve(whole);
      }, fail);
    });
    sent.end(body);
  });
  // Whoever hangs up does not care for the reply.
  reply.catch(() => {});
  return { reply, hangUp: () => sent?.destroy(new Error("hung up")) };
}

export function post(url: string, options: Request = {}): Promise<Reply> {
  return send(url, options).reply;
}

async function read(response: IncomingMessage): Promise<Reply> {
  const parts: Buffer[] = [];
  for await (const part of response) parts.push(part as Buffer);
  const body = Buffer.concat(parts);
  const isProblem = response.headers["content-type"]?.startsWith("application/problem+json") === true;
  return {
    status: response.statusCode ?? 0,
    headers: pairsOf(response.rawHeaders),
    body,
    text: body.toString(),
    code: isProblem ? JSON.parse(body.toString()).code : undefined,
    isReplayed: response.headers["idempotent-replayed"] === "true",
  };
}

export function headerOf(reply: { readonly headers: readonly [string, string][] }, name: string): string | undefined {
  return reply.headers.find(([known]) => known.toLowerCase() === name.toLowerCase())?.[1];
}
