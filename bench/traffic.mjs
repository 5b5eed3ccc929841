// What is sent to a peer, and what must come back. Each has its own keys and remembers what it was answered.
import { randomUUID } from "node:crypto";
import { load } from "./load.mjs";

const body = JSON.stringify({ amount: 1250, currency: "EUR", reference: "x".repeat(190) });

/** @param {{ key?: string, path?: string, content?: string, headers?: string }} what */
export function post({ key, path = "/payments", content = body, headers = "" } = {}) {
  return (
    `POST ${path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nAuthorization: Bearer abc\r\n` +
    `${key === undefined ? "" : `Idempotency-Key: ${key}\r\n`}${headers}Content-Length: ${content.length}\r\n\r\n${content}`
  );
}

export const isReplay = (head) => /\r\nidempotent-replayed: true/i.test(head);
/** The number that the upstream gave this answer. */
export const idOf = (body) => /^\{"id":"pay_(\d+)"/.exec(body)?.[1];

/** No keys; `bare node` has no upstream to ask for a number. */
export function plain() {
  return {
    connections: 32,
    message: () => post(),
    isRight: (status, _, answer) => status === 201 && answer.startsWith('{"id":"'),
  };
}

/**
 * A new key each time: each answer comes from an execution of its own. `options` as `post` takes them; `pathOf` gives each
 * request a path of its own.
 */
export function first({ pathOf, ...options } = {}) {
  const run = randomUUID();
  let serial = 0;
  let seen = new Set();
  return {
    connections: 32,
    prepare: () => {
      seen = new Set();
    },
    message: (index) => post({ ...options, ...(pathOf && { path: pathOf(index) }), key: `${run}-${serial++}` }),
    isRight: (status, head, answer) => {
      const before = seen.size;
      seen.add(idOf(answer));
      return status === 201 && !isReplay(head) && seen.size === before + 1;
    },
  };
}

/**
 * Retries of what was done before. `isHot`: `keys` of them over and over, which the process may know by heart. Without
 * it, each key once, and made through `makerPort`, another process with the same store.
 */
export function replay({ port, makerPort = port, isHot, keys = 1000, ...options }) {
  const run = randomUUID();
  let made = [];
  let from = 0;
  const keyOf = (index) => `${run}-${from + (isHot ? index % made.length : index)}`;
  return {
    connections: 32,
    /** Through a slice of a second the keys that are retried once would run out. */
    most: isHot ? Number.POSITIVE_INFINITY : 2000,
    prepare: async (requests) => {
      if (isHot && made.length > 0) return;
      from += made.length;
      made = [];
      const done = await load({
        port: makerPort,
        connections: 16,
        requests: isHot ? keys : requests,
        seconds: 60,
        message: (index) => post({ ...options, key: `${run}-${from + index}` }),
        isRight: (status, head, answer, index) => {
          made[index] = idOf(answer);
          return status === 201 && !isReplay(head) && made[index] !== undefined;
        },
      });
      if (done.wrong > 0) throw new Error(`${done.wrong} of the requests to be retried went wrong`);
    },
    message: (index) => post({ ...options, key: keyOf(index) }),
    isRight: (status, head, answer, index) =>
      status === 201 && isReplay(head) && idOf(answer) === made[isHot ? index % made.length : index],
  };
}

/** `size` clients at once with one key, then all of them with the next; each key is executed once and shared. */
export function herd({ size, delayMs, connections = size }) {
  const run = randomUUID();
  let from = 0;
  let keys = new Map();
  return {
    connections,
    roundTo: size,
    prepare: () => {
      from++;
      keys = new Map();
    },
    message: (index) =>
      post({ key: `${run}-${from}-${Math.floor(index / size)}`, headers: `X-Delay-Ms: ${delayMs}\r\n` }),
    isRight: (status, head, answer, index) => {
      const key = Math.floor(index / size);
      const one = keys.get(key) ?? { id: idOf(answer), owners: 0, answered: 0 };
      keys.set(key, one);
      one.answered++;
      if (!isReplay(head)) one.owners++;
      // All but the last to be answered are only compared: which of them was first is known at the end.
      const isWhole = one.answered < size || one.owners === 1;
      if (one.answered === size) keys.delete(key);
      return status === 201 && idOf(answer) === one.id && isWhole;
    },
  };
}
