import type { IncomingMessage, ServerResponse } from "node:http";
import httpProxy from "@fastify/http-proxy";
import type { FastifyInstance } from "fastify";
import type { Outcome } from "../model.js";
import { type Dispatch, type Dispatching, openCall } from "./exchange.js";
import { Upload } from "./upload.js";

/** Everything about a request of the unprotected lane that http-proxy itself need not see. */
export interface Passage {
  readonly pool: Dispatching;
  readonly dispatch: Omit<Dispatch, "body" | "maxStoredBytes">;
  /** `streamed`: it is still to be read; a buffer: the gate has read it already. */
  readonly body: "streamed" | Buffer | null;
  /** Told how to stop the call, for the client that leaves. */
  readonly begun: (cancel: () => void) => void;
  /** Called once with how it ended; the caller answers, also for what failed. */
  readonly arrived: (outcome: Outcome) => void;
}

const passage = Symbol("passage");
type Marked = IncomingMessage & { [passage]?: Passage };

type Arrived = Extract<Outcome, { kind: "answered" | "streamed" }>;

/** What reply-from hands to its HTTP client, as far as it is looked at here. */
interface ClientRequest {
  readonly headers: { readonly [passage]: Passage };
  readonly body: IncomingMessage | string | undefined;
}
type ClientCallback = (error: Error | null, response?: { statusCode: number; headers: object; body: Arrived }) => void;

/**
 * The unprotected lane: `@fastify/http-proxy` on one route, with our own HTTP client under it.
 *
 * The lane's rules (headers in order and with repeats, raw targets, every method, one call and no more) are not those of
 * http-proxy, which keeps headers in objects, normalises paths, drops the body of a GET and repeats a GET that was
 * answered with 503. So it is shown a plain `POST /` or `GET /`, and what is real travels beside it in a `Passage`.
 */
export async function openPassthrough(app: FastifyInstance): Promise<void> {
  // The built-in text parser would read the body whole and decode it.
  app.removeAllContentTypeParsers();
  await app.register(httpProxy, {
    upstream: "http://upstream.invalid",
    routes: ["/"],
    httpMethods: ["GET", "POST"],
    internalRewriteLocationHeader: false,
    disableRequestLogging: true,
    // `maxRetriesOn503: 0` means ten; an empty list of methods is what switches the silent retries off.
    retryMethods: [],
    undici: { request: send } as never,
    replyOptions: {
      rewriteRequestHeaders: (request) => ({ [passage]: (request.raw as Marked)[passage] }) as never,
      onResponse: (request, reply, response) => {
        reply.hijack();
        (request.raw as Marked)[passage]?.arrived((response as unknown as { stream: Arrived }).stream);
      },
      onError: (reply, { error }) => {
        reply.hijack();
        const cause = (error as { cause?: unknown }).cause;
        const outcome: Outcome =
          cause instanceof Undelivered ? cause.outcome : { kind: "unsent", error: error as Error };
        (reply.request.raw as Marked)[passage]?.arrived(outcome);
      },
    },
  });
}

/** Hands a request to the lane. `route` is fastify's own entry point (`app.routing`). */
export function passThrough(
  route: (request: IncomingMessage, response: ServerResponse) => void,
  request: IncomingMessage,
  response: ServerResponse,
  to: Passage,
): void {
  (request as Marked)[passage] = to;
  const isStreamed = to.body === "streamed";
  request.method = isStreamed ? "POST" : "GET";
  request.url = "/";
  request.headers = isStreamed ? streamedBody : {};
  route(request, response);
}

/** What says of a request that it has a body which nobody but us can read. */
const streamedBody = { "content-type": "application/octet-stream", "transfer-encoding": "chunked" };

class Undelivered extends Error {
  constructor(readonly outcome: Outcome) {
    super("the upstream gave no answer");
  }
}

/** In the place of undici's `request`. */
function send(request: ClientRequest, callback: ClientCallback): void {
  const to = request.headers[passage];
  const upload = to.body === "streamed" && typeof request.body === "object" ? new Upload(request.body) : null;
  const body = to.body === "streamed" ? upload : to.body;
  const done = (outcome: Outcome) => {
    if (outcome.kind === "unsent" || outcome.kind === "unanswered") return callback(new Undelivered(outcome));
    // What reply-from calls the body comes back to `onResponse` as the stream: here it is the whole answer.
    callback(null, { statusCode: 200, headers: {}, body: outcome });
  };
  const open = () => openCall(to.pool, { ...to.dispatch, body, maxStoredBytes: -1 }, done);
  if (upload === null) return to.begun(open());
  // A client that says it will send, and does not, takes no connection.
  let cancel = () => {
    cancel = () => {};
    upload.destroy();
    done({ kind: "unsent", error: new Error("given up by its client") });
  };
  upload.start(() => {
    cancel = open();
  });
  to.begun(() => cancel());
}
