// A bounded load over keep-alive connections on loopback: so many requests, so many at once, every answer looked at.
import { connect } from "node:net";

/**
 * `leadIn`: so many of the requests, the first to be answered, are in no latency and no time; then `onLedIn` is called.
 * @param {{ port: number, connections: number, requests: number, seconds: number, leadIn?: number, onLedIn?: () => void,
 *   message: (index: number) => string,
 *   isRight: (status: number, head: string, body: string, index: number) => boolean }} plan
 * @returns {Promise<{ done: number, wrong: number, seconds: number, latenciesMs: number[] }>}
 */
export async function load(plan) {
  const state = { next: 0, done: 0, wrong: 0, latenciesMs: [], endsAtMs: performance.now() + plan.seconds * 1000 };
  state.begunMs = performance.now();
  await Promise.all(Array.from({ length: plan.connections }, () => converse(plan, state)));
  return {
    done: state.latenciesMs.length,
    wrong: state.wrong,
    seconds: (performance.now() - state.begunMs) / 1000,
    latenciesMs: state.latenciesMs.sort((a, b) => a - b),
  };
}

export function quantile(sorted, q) {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? Number.NaN;
}

/** Most of the time that the first requests of a turn take is spent on what the machine forgot since the turn before. */
function ledIn(plan, state) {
  state.latenciesMs = [];
  state.begunMs = performance.now();
  plan.onLedIn();
}

/** One connection: a request, its answer, the next request. */
function converse(plan, state) {
  return new Promise((resolve, reject) => {
    const socket = connect({ port: plan.port, host: "127.0.0.1", noDelay: true });
    let parts = [];
    let [have, needed] = [0, 1];
    let sentAtMs = 0;
    let index = 0;
    let hasEnded = false;
    const send = () => {
      if (state.next >= plan.requests || performance.now() > state.endsAtMs) {
        hasEnded = true;
        socket.end();
        return;
      }
      sentAtMs = performance.now();
      index = state.next++;
      socket.write(plan.message(index), "latin1");
    };
    socket.setEncoding("latin1");
    socket.on("connect", send);
    socket.on("data", (text) => {
      parts.push(text);
      have += text.length;
      // A large answer is looked at when all of it is there: in between it costs nothing but its being received.
      while (have >= needed) {
        const received = parts.join("");
        const answer = parse(received);
        if (answer.length > have) {
          parts = [received];
          needed = answer.length;
          return;
        }
        parts = [received.slice(answer.length)];
        have -= answer.length;
        needed = 1;
        state.latenciesMs.push(performance.now() - sentAtMs);
        if (++state.done === plan.leadIn) ledIn(plan, state);
        if (!plan.isRight(answer.status, answer.head, answer.body, index)) state.wrong++;
        send();
      }
    });
    socket.on("error", reject);
    // A server that closes in between has left a request unanswered; one that is slow to take the end has not.
    socket.on("close", () => (hasEnded ? resolve() : reject(new Error(`port ${plan.port} closed a connection`))));
  });
}

/** The first answer in `text`. While it is not whole, only the length there must be at least to look again. */
function parse(text) {
  const more = { length: text.length + 1 };
  const headEnd = text.indexOf("\r\n\r\n");
  if (headEnd < 0) return more;
  const head = text.slice(0, headEnd);
  const status = Number(head.slice(9, 12));
  const bodyStart = headEnd + 4;
  const declared = /\r\ncontent-length: *(\d+)/i.exec(head);
  if (declared !== null) {
    const length = bodyStart + Number(declared[1]);
    return text.length < length ? { length } : { status, head, body: text.slice(bodyStart, length), length };
  }
  if (!/\r\ntransfer-encoding: *chunked/i.test(head)) return { status, head, body: "", length: bodyStart };
  let body = "";
  for (let at = bodyStart; ; ) {
    const lineEnd = text.indexOf("\r\n", at);
    if (lineEnd < 0) return more;
    const size = Number.parseInt(text.slice(at, lineEnd), 16);
    const next = lineEnd + 2 + size + 2;
    if (text.length < next) return { length: next };
    if (size === 0) return { status, head, body, length: next };
    body += text.slice(lineEnd + 2, lineEnd + 2 + size);
    at = next;
  }
}
