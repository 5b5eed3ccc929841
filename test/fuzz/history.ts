import type { Field, RequestRead } from "./strict-reader.js";

/** One connection of a client, from its first octet to its end. */
export interface SessionSeen {
  readonly id: number;
  /** The kinds of message that were put on it. */
  readonly kinds: readonly string[];
  /** What the client wrote, one character for each octet. */
  readonly sent: string;
  readonly received: string;
  /** What keeps a request that RFC 9112 alone would let through from being admitted. */
  readonly mayRun?: (read: RequestRead) => string;
}

/** A request that the upstream saw, from its head on. */
export interface Dispatched {
  readonly serial: number;
  readonly method: string;
  readonly target: string;
  readonly fields: readonly Field[];
  body: string;
  isWhole: boolean;
  /** How the upstream answered. */
  script: string;
  /** The body of an answer that is well formed and complete. */
  answerBody: string | undefined;
  /** Its answer may let the key run again. */
  mayRelease: boolean;
  /** Octets that nobody asked for crossed a request on its connection: whose answer is whose, no gateway can know. */
  isCrossed: boolean;
}

export interface FuzzHistory {
  readonly sessions: readonly SessionSeen[];
  readonly dispatches: readonly Dispatched[];
  /** Octets on connections of the upstream that the strict reader does not take. */
  readonly unreadable: readonly string[];
}

export interface Violation {
  readonly what: string;
  readonly session: SessionSeen | undefined;
  readonly detail: string;
}

/** How an answer names the dispatch it belongs to. */
export const markOf = (serial: number): string => `<answer-${serial}>`;

export const isProtected = (target: string): boolean => /^(?:http:\/\/[^/]*)?\/pay\//i.test(target);
