import { once } from "node:events";
import { connect, type Socket } from "node:net";
import type { Random } from "../chaos/random.js";
import { reset } from "../spec/octets.js";
import { ambiguityOf, kindsOfTwist, message } from "./corpus.js";
import type { SessionSeen } from "./history.js";
import { readAnswers, readRequests } from "./strict-reader.js";
import { writeInParts } from "./write-in-parts.js";

export interface SessionPlan {
  readonly id: number;
  readonly kinds: readonly string[];
  readonly octets: string;
  readonly ending: "wait" | "half-close" | "reset" | "hang up";
}

const idleMs = 500;

/** `name` is what a retry of the same message, on this connection or another, has in common with it. */
export function planSession(id: number, random: Random): SessionPlan {
  const kinds: string[] = [];
  let octets = "";
  let again = "";
  for (let index = 0, count = random.integer(1, 4); index < count; index++) {
    const kind = random.chance(0.3) ? "plain" : random.pick(kindsOfTwist);
    const copy = `c${id}-${index}`;
    const name = `m${id}-${index}`;
    const isRetry = again !== "" && random.chance(0.3);
    // The same octets but for the copy.
    const text = isRetry ? again.replace(/X-Copy: [^\r]*/, `X-Copy: ${copy}`) : message(kind, name, copy, random);
    kinds.push(isRetry ? "retry" : kind);
    if (!isRetry) again = text;
    octets += text;
  }
  const ending = random.pick(["wait", "wait", "wait", "half-close", "reset", "hang up"] as const);
  if (ending !== "wait" && random.chance(0.5)) octets = octets.slice(0, random.integer(0, octets.length));
  return { id, kinds, octets, ending };
}

export async function runSession(port: number, plan: SessionPlan, random: Random): Promise<SessionSeen> {
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
  const parts: Buffer[] = [];
  socket.on("error", () => {}).on("data", (octets: Buffer) => parts.push(octets));
  const received = () => Buffer.concat(parts).toString("latin1");
  await Promise.race([once(socket, "connect"), once(socket, "close")]).catch(() => {});
  await writeInParts(socket, plan.octets, random);
  if (plan.ending === "half-close") socket.end();
  if (plan.ending === "reset") reset(socket);
  else if (plan.ending === "hang up") socket.destroy();
  else await answered(socket, plan, received);
  socket.destroy();
  return { id: plan.id, kinds: plan.kinds, sent: plan.octets, received: received(), mayRun: ambiguityOf };
}

/** Until the gateway ends the connection, each request has its answer, or nothing comes for a while. */
async function answered(socket: Socket, plan: SessionPlan, received: () => string): Promise<void> {
  const { messages, rest } = readRequests(plan.octets, ambiguityOf);
  const methods = messages.map(({ method }) => method);
  const isAwaited = rest === "broken";
  await new Promise<void>((resolve) => {
    let timer = setTimeout(resolve, 2 * idleMs);
    const look = () => {
      clearTimeout(timer);
      const { messages: answers } = readAnswers(received(), methods);
      const areThere = answers.filter(({ isWhole }) => isWhole).length >= methods.length;
      timer = setTimeout(resolve, areThere && !isAwaited ? 5 : idleMs);
    };
    socket.on("data", look);
    for (const event of ["end", "close"]) {
      socket.on(event, () => {
        clearTimeout(timer);
        resolve();
      });
    }
    look();
  });
}
