import { once } from "node:events";
import { connect } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { Random } from "../chaos/random.js";
import { guarded, open, SampleGateway } from "../spec/gateway.js";
import { checkFuzz } from "./checker.js";
import type { SessionSeen, Violation } from "./history.js";
import { Recorder } from "./recorder.js";
import { planSession, runSession } from "./session.js";

export interface RoundSeen {
  readonly violations: readonly Violation[];
  readonly sent: readonly string[];
  readonly answers: ReadonlyMap<string, number>;
}

const connectionsOfRound = 400;
const atOnce = 32;

/** A gateway and an upstream of their own, some hundred connections, and a look at what is left of them. */
export async function fuzzRound(seed: number, fastPath: boolean, endMs: number): Promise<RoundSeen> {
  const undo: (() => unknown)[] = [];
  const owner = { teardown: (handler: () => unknown) => undo.unshift(handler) };
  const socketsBefore = openSockets();
  const recorder = await Recorder.start(seed);
  const to = { timeout: "300ms", connections: 8 };
  const gateway = await SampleGateway.start(owner, {
    server: { fastPath },
    routes: [guarded("/pay/*", recorder.url, { waitTimeout: "2s" }, to), open("/open/*", recorder.url, to)],
  });
  const sessions = await manySessions(gateway.port, seed, endMs);
  const violations: Violation[] = [];
  const rest = (what: string, detail = "") => violations.push({ what, session: undefined, detail });
  await gateway.quiet().catch((error: Error) => rest("the gateway never came to rest", error.message));
  await gateway.until("no requests", () => gateway.inFlight === 0).catch((error: Error) => rest(error.message));
  if (!(await isAlive(gateway.port))) rest("the gateway answers nobody any more");
  const { dispatches, unreadable, scripts } = recorder;
  violations.push(...checkFuzz({ sessions, dispatches, unreadable }));
  for (const handler of undo) await handler();
  await recorder.close();
  if (!(await closed(socketsBefore))) rest(`${openSockets() - socketsBefore} sockets are left open`);
  return { violations, sent: sessions.flatMap(({ kinds }) => kinds), answers: scripts };
}

async function manySessions(port: number, seed: number, endMs: number): Promise<SessionSeen[]> {
  const sessions: SessionSeen[] = [];
  let next = 0;
  const one = async () => {
    while (next < connectionsOfRound && (performance.now() < endMs || next < atOnce)) {
      const id = next++;
      const own = new Random(seed * 1000 + id);
      sessions.push(await runSession(port, planSession(id, own), own));
    }
  };
  await Promise.all(Array.from({ length: atOnce }, one));
  return sessions;
}

async function isAlive(port: number): Promise<boolean> {
  const socket = connect(port, "127.0.0.1");
  socket.write("GET /.well-known/idempotency HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  const [octets] = await Promise.race([once(socket, "data"), pause(5000, [""])]);
  socket.destroy();
  return String(octets).startsWith("HTTP/1.1 200");
}

const openSockets = (): number => process.getActiveResourcesInfo().filter((name) => /^TCP/.test(name)).length;

async function closed(before: number): Promise<boolean> {
  for (let left = 100; left > 0 && openSockets() > before; left--) await pause(50);
  return openSockets() <= before;
}
