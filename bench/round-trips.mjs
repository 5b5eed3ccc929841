// How many commands a request costs Redis, counted by Redis.
import { load } from "./load.mjs";
import { ask, watchCommands } from "./redis-wire.mjs";
import { onRedis, openGateway, openRedis, openUpstream, protectedRoute } from "./stage.mjs";
import { first, herd, replay } from "./traffic.mjs";

const requests = 400;

/**
 * Commands of a request of each kind, on a Redis that nobody else uses. What the gateway says on its own account (it
 * pings, asks the time) is known by name and left out, everything else is counted.
 * @returns {Promise<{ first: number, replay: number, knownReplay: number, waiter: number, commands: object }>}
 */
export async function countRoundTrips() {
  const [redis, upstream] = [await openRedis(), await openUpstream()];
  const open = () => openGateway({ store: onRedis(redis), routes: protectedRoute(upstream.port) });
  const [one, other] = [await open(), await open()];
  const commands = {};
  const count = async (name, port, traffic, many = requests) => {
    const before = await calls(redis);
    const watch = await watchCommands(redis.port);
    const { done, wrong } = await load({ port, requests: many, seconds: 60, ...traffic });
    const sent = await watch.stop();
    const ran = (await calls(redis)) - before;
    if (wrong > 0 || done !== many) throw new Error(`${name}: ${done} of ${many} answered, ${wrong} wrong`);
    commands[name] = sent;
    const own = Object.entries(sent).reduce((sum, [name, calls]) => (isChore(name) ? sum : sum + calls), 0);
    // Two accounts of the server's: one that disagrees is no measurement.
    if (ran !== (sent.evalsha ?? 0))
      throw new Error(`${name}: commandstats tell ${ran} scripts, MONITOR ${sent.evalsha}`);
    return own;
  };
  const plan = first();
  // Scripts are loaded, connections made.
  for (const { port } of [one, other]) await load({ port, requests: 100, seconds: 60, ...first() });
  const firsts = await count("first", one.port, { ...plan, connections: 1 });
  const retried = replay({ port: other.port, makerPort: one.port, isHot: false });
  await retried.prepare(requests);
  const replays = await count("replay", other.port, { ...retried, connections: 1 });
  // The same keys once more, in the second that the process remembers them: few enough for a busy machine.
  const known = replay({ port: other.port, makerPort: one.port, isHot: false });
  await known.prepare(50);
  await load({ port: other.port, requests: 50, seconds: 60, ...known });
  const knownReplays = await count("known replay", other.port, known, 50);
  // Ten herds of forty: each owner costs what a first request does, all beyond that is the waiters'.
  const crowd = herd({ size: 40, delayMs: 100 });
  const crowded = await count("herd", one.port, crowd, requests);
  const owners = requests / 40;
  return {
    first: firsts / requests,
    replay: replays / requests,
    knownReplay: knownReplays / 50,
    waiter: Math.max(0, crowded - owners * (firsts / requests)) / (requests - owners),
    commands,
  };
}

const isChore = (name) => ["ping", "time", "info", "role", "client", "config"].includes(name);

/** Scripts called, as the server's own statistics have it. */
async function calls(redis) {
  const stats = await ask(redis.port, "INFO commandstats");
  return Number(/^cmdstat_evalsha:calls=(\d+)/m.exec(stats)?.[1] ?? 0);
}
