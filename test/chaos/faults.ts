import type { Relay } from "../relay.js";
import { leaseMs } from "./plan.js";
import type { Random } from "./random.js";
import { type Rig, sleep } from "./rig.js";
import { type Topology, topologies } from "./stage.js";

export interface FaultKind {
  /** There is one upstream and one store; of gateways there may be several, and one may be harmed while another is. */
  readonly on: "a gateway" | "upstream" | "redis" | "locks" | "clients";
  readonly weight: number;
  /** Together with another fault it is known to break the promise: it has a row of its own. */
  readonly isAlone?: boolean;
  readonly fits: (topology: Topology) => boolean;
  readonly apply: (rig: Rig, random: Random) => void;
}

const always = () => true;
const names = Object.entries(topologies);
const nameOf = (topology: Topology) => names.find(([, known]) => known === topology)?.[0] ?? "";
const isOneProcess = ({ workers }: Topology) => workers === 1;
const hasRedis = (topology: Topology) => !nameOf(topology).startsWith("embedded");
const hasLink = (topology: Topology) => /^one Redis|lock nodes/.test(nameOf(topology));
const hasLocks = (topology: Topology) => /lock nodes/.test(nameOf(topology));
const failsOver = (topology: Topology) => /^Sentinel/.test(nameOf(topology));
/** There a primary that comes back before the sentinels have led its replicas away finds one to confirm its claims. */
const maySplit = (topology: Topology) => /one of two/.test(nameOf(topology));
/** A server that is gone there is replaced by another one: that is a fault of its own. */
const staysThePrimary = (topology: Topology) => hasRedis(topology) && !failsOver(topology);

/** To one of the gateways nothing is being done to; to none, when there is none. */
const toOne =
  (apply: (rig: Rig, index: number, random: Random) => void): FaultKind["apply"] =>
  (rig, random) => {
    const unharmed = rig.unharmed();
    if (unharmed.length > 0) apply(rig, random.pick(unharmed), random);
  };

const during =
  (kind: string, work: (rig: Rig, random: Random) => Promise<unknown>): FaultKind["apply"] =>
  (rig, random) =>
    rig.disturb(kind, async () => void (await work(rig, random)));

/** A link that is harmed for a while, each time in another way. */
async function harmLink(link: Relay, random: Random, ways: readonly ("cut" | "down" | "silent" | "half")[]) {
  const way = random.pick(ways);
  if (way === "cut") link.cut();
  else if (way === "half") link.halfClose(random.pick(["server", "client"]));
  else if (way === "down") {
    link.drop();
    await sleep(random.integer(50, leaseMs * 1.5));
    link.raise();
  } else {
    link.fallSilent();
    await sleep(random.integer(50, leaseMs * 1.5));
    // Half of what was kept back is late, the other half is lost.
    if (random.chance(0.5)) link.cut();
    link.speak();
  }
}

async function slowDown(link: Relay, random: Random): Promise<void> {
  link.slow(random.integer(10, 120));
  await sleep(random.integer(300, 1500));
  link.slow(0);
}

/** The old primary comes back at once: for some seconds it does not know that it is one no more. */
async function failOver({ stage }: Rig, random: Random): Promise<void> {
  await stage.failOver?.(random.pick(["kill", "kill", "freeze"]));
  await sleep(random.integer(500, 1500));
}

/** By name, as in the table that a run prints. What the upstream itself does is in every plan. */
export const faultKinds: Readonly<Record<string, FaultKind>> = {
  "gateway kill -9": {
    on: "a gateway",
    weight: 6,
    fits: always,
    apply: toOne((rig, index, random) => rig.kill(index, "kill -9", random.pick([0, 0, 100, 600]))),
  },
  // Well below and well above the lease.
  "gateway SIGSTOP past its lease": {
    on: "a gateway",
    weight: 4,
    fits: isOneProcess,
    apply: toOne((rig, index, random) => rig.pause(index, random.integer(leaseMs / 3, leaseMs * 2.5))),
  },
  "worker kill -9": {
    on: "a gateway",
    weight: 6,
    fits: (topology) => !isOneProcess(topology),
    apply: toOne((rig, index) => rig.killWorker(index)),
  },
  "gateway SIGTERM": { on: "a gateway", weight: 1, fits: always, apply: toOne((rig, index) => rig.drain(index)) },
  "upstream down": {
    on: "upstream",
    weight: 1,
    fits: always,
    apply: during("upstream down", async ({ ledger }, random) => {
      await ledger.goDown();
      await sleep(random.integer(100, 500));
      await ledger.listen();
    }),
  },
  "upstream drops idle connections": {
    on: "upstream",
    weight: 3,
    fits: always,
    apply: during("upstream drops idle connections", async ({ ledger }, random) =>
      ledger.dropIdle(random.pick(["fin", "rst"])),
    ),
  },
  "upstream link cut, silent, half closed": {
    on: "upstream",
    weight: 2,
    fits: always,
    apply: during("upstream link harmed", ({ upstreamLink }, random) =>
      harmLink(upstreamLink, random, ["cut", "down", "silent", "half"]),
    ),
  },
  "upstream link slow": {
    on: "upstream",
    weight: 1,
    fits: always,
    apply: during("upstream link slow", ({ upstreamLink }, random) => slowDown(upstreamLink, random)),
  },
  "client links cut, half closed, slow": {
    on: "clients",
    weight: 2,
    fits: always,
    apply: during("client links harmed", async (rig, random) => {
      // Whoever calls meanwhile goes that way. Not always: behind a link a gateway that is gone cannot be told from one
      // that broke off, and clients would waste their tries on it.
      rig.usesClientLinks = true;
      await sleep(random.integer(100, 500));
      const link = random.pick(rig.clientLinks);
      if (random.chance(0.2)) await slowDown(link, random);
      else await harmLink(link, random, ["cut", "cut", "half", "silent"]);
      rig.usesClientLinks = false;
    }),
  },
  "redis frozen": {
    on: "redis",
    weight: 3,
    fits: staysThePrimary,
    apply: during("redis frozen", async ({ stage }, random) => {
      const server = random.pick(stage.servers);
      server.freeze();
      await sleep(random.integer(100, leaseMs * 2));
      server.thaw();
    }),
  },
  "redis kill -9, restarted": {
    on: "redis",
    weight: 2,
    fits: staysThePrimary,
    apply: during("redis kill -9, restarted", async ({ stage }, random) => {
      const server = random.pick(stage.servers);
      await server.kill();
      await sleep(random.integer(0, leaseMs * 1.5));
      await server.start();
    }),
  },
  "redis connections cut": {
    on: "redis",
    weight: 2,
    fits: hasRedis,
    apply: during("redis connections cut", async ({ stage }, random) => {
      const type = random.pick(["normal", "pubsub"]);
      for (const { admin } of stage.servers) await admin.call("CLIENT", "KILL", "TYPE", type, "SKIPME", "yes");
    }),
  },
  "redis SCRIPT FLUSH": {
    on: "redis",
    weight: 1,
    fits: hasRedis,
    apply: during("redis SCRIPT FLUSH", async ({ stage }) => {
      for (const { admin } of stage.servers) await admin.call("SCRIPT", "FLUSH");
    }),
  },
  "redis link cut, silent, half closed": {
    on: "redis",
    weight: 3,
    fits: hasLink,
    apply: during("redis link harmed", async ({ stage }, random) => {
      if (stage.link !== undefined) await harmLink(stage.link, random, ["cut", "down", "silent", "half"]);
    }),
  },
  "redis link slow": {
    on: "redis",
    weight: 1,
    fits: hasLink,
    apply: during("redis link slow", async ({ stage }, random) => {
      if (stage.link !== undefined) await slowDown(stage.link, random);
    }),
  },
  "redis failover": { on: "redis", weight: 3, fits: failsOver, apply: during("redis failover", failOver) },
  "redis failover, and two primaries": {
    on: "redis",
    weight: 3,
    isAlone: true,
    fits: maySplit,
    apply: during("redis failover, and two primaries", failOver),
  },
  "redis FLUSHALL": {
    on: "redis",
    weight: 1,
    isAlone: true,
    fits: hasLocks,
    apply: during("redis FLUSHALL", async ({ stage }) => {
      for (const { admin } of stage.servers) await admin.flushall();
    }),
  },
  "one lock node frozen or killed": {
    on: "locks",
    weight: 3,
    fits: hasLocks,
    apply: during("locks: one node away", async ({ stage }, random) => {
      const node = random.pick(stage.lockNodes);
      if (random.chance(0.5)) {
        node.freeze();
        await sleep(random.integer(100, leaseMs * 2));
        node.thaw();
      } else {
        await node.kill();
        await sleep(random.integer(0, leaseMs * 1.5));
        await node.start();
      }
    }),
  },
  "two lock links harmed": {
    on: "locks",
    weight: 1,
    fits: hasLocks,
    apply: during("locks: two links harmed", async ({ stage }, random) => {
      const links = stage.lockLinks.slice(1);
      await Promise.all(links.map((link) => harmLink(link, random, ["cut", "down", "silent"])));
    }),
  },
};

/** What crashes and pauses are about, with no link harmed: most requests then come through, and are worth losing. */
export function crashesOf(topology: Topology): string[] {
  return faultsOf(topology).filter((name) => !/link|SCRIPT/.test(name));
}

/** The names of the faults that a topology can suffer. */
export function faultsOf(topology: Topology): string[] {
  const isFit = ({ fits }: FaultKind) => fits(topology) && (!maySplit(topology) || fits === maySplit);
  return Object.entries(faultKinds).flatMap(([name, kind]) => (isFit(kind) ? [name] : []));
}

/** Faults of these kinds one after another, at random distances, until `isOver`. */
export async function injectFaults(
  rig: Rig,
  random: Random,
  kinds: readonly string[],
  isOver: () => boolean,
): Promise<void> {
  const weights = Object.fromEntries(kinds.map((name) => [name, faultKinds[name]!.weight]));
  while (!isOver()) {
    await sleep(random.integer(100, 900));
    if (isOver()) return;
    const kind = faultKinds[random.weighted(weights)]!;
    // One at a time of those that there is one thing for.
    if (kind.on !== "a gateway" && rig.isDisturbed(kind.on === "clients" ? "client" : kind.on)) continue;
    kind.apply(rig, random);
  }
}
