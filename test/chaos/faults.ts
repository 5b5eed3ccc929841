import { leaseMs } from "./plan.js";
import type { Random } from "./random.js";
import { type Rig, sleep } from "./rig.js";

type Apply = (rig: Rig, random: Random) => void;

interface FaultKind {
  readonly on: "a gateway" | "upstream" | "redis";
  readonly weight: number;
  readonly apply: Apply;
}

/** To one of the gateways nothing is being done to; to none, when there is none. */
const toOne =
  (apply: (rig: Rig, index: number, random: Random) => void): Apply =>
  (rig, random) => {
    const unharmed = rig.unharmed();
    if (unharmed.length > 0) apply(rig, random.pick(unharmed), random);
  };

const everywhere: readonly FaultKind[] = [
  {
    on: "a gateway",
    weight: 6,
    apply: toOne((rig, index, random) => rig.kill(index, "kill -9", random.pick([0, 0, 100, 600]))),
  },
  // Well below and well above the lease.
  {
    on: "a gateway",
    weight: 4,
    apply: toOne((rig, index, random) => rig.pause(index, random.integer(leaseMs / 3, leaseMs * 2.5))),
  },
  { on: "a gateway", weight: 1, apply: toOne((rig, index) => rig.drain(index)) },
  {
    on: "upstream",
    weight: 1,
    apply: (rig, random) =>
      rig.disturb("upstream down", async () => {
        await rig.ledger.goDown();
        await sleep(random.integer(100, 500));
        await rig.ledger.listen();
      }),
  },
  {
    on: "upstream",
    weight: 3,
    apply: (rig, random) =>
      rig.disturb("upstream drops idle connections", async () => rig.ledger.dropIdle(random.pick(["fin", "rst"]))),
  },
];

const toRedis: readonly FaultKind[] = [
  {
    on: "redis",
    weight: 3,
    apply: (rig, random) =>
      rig.disturb("redis frozen", async () => {
        rig.redis?.freeze();
        await sleep(random.integer(100, leaseMs * 2));
        rig.redis?.thaw();
      }),
  },
  {
    on: "redis",
    weight: 2,
    apply: (rig, random) =>
      rig.disturb("redis kill -9, restarted", async () => {
        await rig.redis?.kill();
        await sleep(random.integer(0, leaseMs * 1.5));
        await rig.redis?.start();
      }),
  },
  {
    on: "redis",
    weight: 2,
    apply: (rig, random) =>
      rig.disturb("redis connections cut", async () => {
        await rig.redis?.admin.call("CLIENT", "KILL", "TYPE", random.pick(["normal", "pubsub"]), "SKIPME", "yes");
      }),
  },
];

/** Faults one after another, at random distances, until `isOver`. */
export async function injectFaults(rig: Rig, random: Random, isOver: () => boolean): Promise<void> {
  const kinds = rig.redis === undefined ? everywhere : [...everywhere, ...toRedis];
  while (!isOver()) {
    await sleep(random.integer(100, 900));
    if (isOver()) return;
    const weights = Object.fromEntries(kinds.map(({ weight }, at) => [String(at), weight]));
    const kind = kinds[Number(random.weighted(weights))];
    // One at a time of those that there is one thing for.
    if (kind === undefined || (kind.on !== "a gateway" && rig.isDisturbed(kind.on))) continue;
    kind.apply(rig, random);
  }
}
