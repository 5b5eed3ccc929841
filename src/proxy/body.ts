import type { IncomingMessage } from "node:http";
import { ByteCollector } from "./byte-collector.js";
import { UnreadAnswers } from "./unread-answers.js";

export interface ReadWhole {
  readonly kind: "read";
  readonly body: Buffer;
  readonly free: () => void;
}

export type BodyRead =
  | ReadWhole
  /** `soFar` has left the request's stream: a lane that forwards it all the same puts it back with `unshift`. */
  | { readonly kind: "tooLarge" | "overloaded"; readonly soFar: Buffer }
  /** The client is gone, or sent less than it promised. */
  | { readonly kind: "aborted" };

/** The bytes of request bodies held in memory, of all requests at once. */
export class BodyBudget {
  #usedBytes = 0;
  /** What waits for clients has as much for itself: a client that does not read takes nothing from one that asks. */
  readonly unread: UnreadAnswers;

  constructor(public limitBytes: number) {
    this.unread = new UnreadAnswers(limitBytes);
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  take(bytes: number): boolean {
    if (this.#usedBytes + bytes > this.limitBytes) return false;
    this.#usedBytes += bytes;
    return true;
  }

  give(bytes: number): void {
    this.#usedBytes -= bytes;
  }
}

const empty = Buffer.alloc(0);

/** Whether its head alone says that it is too large: before the 100 (Continue). */
export function isDeclaredOver(request: IncomingMessage, limitBytes: number): boolean {
  const declared = request.headers["content-length"];
  return declared !== undefined && Number(declared) > limitBytes;
}

export function hasBody(request: IncomingMessage): boolean {
  const { headers } = request;
  return headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 0;
}

/**
 * Reads a request body whole. What was taken from the budget is given back by `free`, or at once where nothing is
 * returned. Reading stops at the first byte over either limit; nothing is claimed before this is over.
 */
export function readBody(
  request: IncomingMessage,
  limitBytes: number,
  budget: BodyBudget,
  done: (read: BodyRead) => void,
): void {
  if (!hasBody(request)) {
    request.resume();
    done({ kind: "read", body: empty, free: () => {} });
    return;
  }
  // Refused by its declaration alone, before a byte is read.
  if (isDeclaredOver(request, limitBytes)) {
    done({ kind: "tooLarge", soFar: empty });
    return;
  }
  const collector = new ByteCollector();
  let bytes = 0;
  const stop = (read: BodyRead) => {
    request.off("data", onData).off("end", onEnd).off("close", onClose);
    if (read.kind !== "read") {
      budget.give(bytes);
      request.pause();
    }
    done(read);
  };
  const soFarWith = (part: Buffer) => {
    collector.add(part);
    return collector.take();
  };
  const onData = (part: Buffer) => {
    if (bytes + part.length > limitBytes) {
      stop({ kind: "tooLarge", soFar: soFarWith(part) });
    } else if (!budget.take(part.length)) {
      stop({ kind: "overloaded", soFar: soFarWith(part) });
    } else {
      collector.add(part);
      bytes += part.length;
    }
  };
  const onEnd = () => {
    const body = collector.take();
    let isHeld = true;
    const free = () => {
      if (isHeld) budget.give(bytes);
      isHeld = false;
    };
    stop({ kind: "read", body, free });
  };
  const onClose = () => stop({ kind: "aborted" });
  request.on("data", onData).on("end", onEnd).on("close", onClose);
  request.on("error", () => {});
}
