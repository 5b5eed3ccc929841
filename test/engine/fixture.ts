import type { Answer, ProbeAnswer, Work } from "../../src/engine/answer.js";
import { Engine } from "../../src/engine/engine.js";
import type { Client } from "../../src/engine/flight.js";
import { EventHub } from "../../src/events.js";
import type {
  Attempt,
  Fingerprint,
  KeyHash,
  Outcome,
  Policy,
  RecordKey,
  Route,
  StoredResponse,
} from "../../src/model.js";
import type { RecordStore } from "../../src/store/record-store.js";
import { sampleUpstream } from "../sample-config.js";

export const policy: Policy = {
  key: {
    sources: [{ from: "header", name: "idempotency-key" }],
    required: true,
    maxLength: 255,
    pattern: /./,
    strict: false,
    forward: true,
    isFirstOf: false,
    age: null,
  },
  scope: [],
  namespace: "pay",
  fingerprint: { body: "bytes", ignore: [], headers: [], query: true },
  concurrency: "wait",
  waitTimeoutMs: 5_000,
  maxWaiters: 1000,
  leaseMs: 15_000,
  retentionMs: 86_400_000,
  inDoubtRetentionMs: 30 * 86_400_000,
  outcomes: { when: [], release: new Set([429, 503]), unknown: new Set([502, 504]) },
  inDoubt: "hold",
  probe: null,
  storeUnavailable: "reject",
  maxStoredBytes: 1_048_576,
  streamTypes: ["text/event-stream"],
  streamPattern: /^text\/event-stream/,
  omitHeaders: new Set(),
  replayHeader: "Idempotent-Replayed",
  mode: "enforce",
};

export function routeWith(changes: Partial<Policy> = {}): Route & { policy: Policy } {
  return {
    name: "pay",
    match: { methods: new Set(["POST"]), host: null, path: "/pay", caseSensitive: false, ambiguousPaths: "auto" },
    upstream: sampleUpstream("http://a:1", { timeoutMs: 1000, connectTimeoutMs: 1000, connections: 1 }),
    cors: null,
    policy: { ...policy, ...changes },
  };
}

export function attemptFor(key: string, fingerprint = "f", changes: Partial<Policy> = {}): Attempt {
  const route = routeWith(changes);
  return {
    route,
    policy: route.policy,
    key: key.padStart(64, "0") as RecordKey,
    keyHash: key.padStart(64, "0") as KeyHash,
    fingerprint: fingerprint.padStart(64, "0") as Fingerprint,
  };
}

export function response(status: number, text = ""): StoredResponse {
  return { status, reason: "", headers: ["X-Text", text], body: Buffer.from(text), trailers: [] };
}

export const answered = (status: number, text = ""): Outcome => ({
  kind: "answered",
  response: response(status, text),
});

/** An upstream whose calls end when the test says so. */
export class Upstream {
  readonly calls: { readonly end: (outcome: Outcome) => void }[] = [];
  readonly probes: { readonly end: (answer: ProbeAnswer) => void }[] = [];
  readonly #arrivals: (() => void)[] = [];

  readonly work: Work = {
    run: (isOurs) =>
      new Promise((end) => {
        if (!isOurs()) return end({ kind: "unsent", error: new Error("late"), isLate: true });
        this.calls.push({ end });
        for (const arrive of this.#arrivals.splice(0)) arrive();
      }),
    probe: () =>
      new Promise((end) => {
        this.probes.push({ end });
        for (const arrive of this.#arrivals.splice(0)) arrive();
      }),
  };

  /** Resolves when that many calls (or probes) have arrived. */
  async called(times: number, which: "calls" | "probes" = "calls"): Promise<void> {
    while (this[which].length < times) await new Promise<void>((resolve) => this.#arrivals.push(resolve));
  }
}

/** A client whose answer can be awaited. */
export function client(attempt: Attempt, work: Work): Client & { readonly answer: Promise<Answer>; answers: number } {
  let reply: (answer: Answer) => void = () => {};
  const answer = new Promise<Answer>((resolve) => {
    reply = resolve;
  });
  const self = {
    attempt,
    work,
    answer,
    answers: 0,
    reply(given: Answer) {
      self.answers++;
      reply(given);
    },
  };
  return self;
}

export function engineOn(store: RecordStore): { engine: Engine; hub: EventHub } {
  const hub = new EventHub();
  return { engine: new Engine(store, hub), hub };
}
