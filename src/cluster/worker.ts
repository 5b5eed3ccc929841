import cluster from "node:cluster";
import type { Registry } from "prom-client";
import type { Contents } from "../config/files.js";
import type { Recent } from "../observe/recent.js";
import { type Briefing, type Hello, type Order, type Question, type Ready, type Report, unpacked } from "./messages.js";

/** Whether this process is one of several, and not the one that leads them. */
export function isWorker(): boolean {
  return cluster.isWorker;
}

/** The configuration files a worker is given: it never looks at the disk itself, where they may have changed meanwhile. */
export interface Given {
  readonly atStart: Contents;
  /** Where there was a reload since then. */
  readonly reloaded: Contents | undefined;
}

/** How long a worker waits for its briefing, ms: whoever does not give one is no primary of this program. */
const briefingMs = 30_000;

const early: Order[] = [];
let isReady = false;
let take = (order: Order): void => void early.push(order);

/** In a worker, before anything else: what its primary runs by; `undefined` where that has no file. */
export function briefed(): Promise<Given | undefined> {
  // Node would end it in the midst of its work, were its primary killed. It has nobody to hear from then, and drains; or
  // ends, where it has not begun to listen: nobody would ever tell it that it may.
  if (cluster.worker !== undefined) cluster.worker.exitedAfterDisconnect = true;
  process.on("disconnect", () => (isReady ? take({ order: "drain" }) : process.exit(1)));
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      process.stderr.write("idempotency-gateway: this worker's primary does not say what to run\n");
      process.exit(1);
    }, briefingMs);
    process.on("message", (message: Partial<Briefing> & Partial<Order>) => {
      if (message.order !== undefined) take(message as Order);
      if (message.briefing === undefined) return;
      clearTimeout(timer);
      const { briefing } = message;
      resolve(briefing === null ? undefined : given(briefing));
    });
    tell({ hello: true });
  });
}

function given({ atStart, reloaded }: NonNullable<Briefing["briefing"]>): Given {
  return { atStart: unpacked(atStart), reloaded: reloaded === null ? undefined : unpacked(reloaded) };
}

/** In a worker: what its primary tells it to do, also what it told before. */
export function onOrder(orders: { drain(): void; reload(contents: Contents): void }): void {
  take = (order) => (order.order === "drain" ? orders.drain() : orders.reload(unpacked(order.files)));
  for (const order of early.splice(0)) take(order);
}

/** A worker whose drain is over: only the channel to its primary would keep it alive. */
export function leaveCrew(): void {
  if (isWorker() && process.connected) process.disconnect();
}

/** Answers what the primary asks, and tells it that this worker listens. */
export function reportTo(registry: Registry, recent: Recent): void {
  const report = async ({ question, about }: Question) => {
    tell({ question, report: about === "metrics" ? await registry.getMetricsAsJSON() : recent.of(about.prefix) });
  };
  process.on("message", (message: Partial<Question>) => {
    if (message.question !== undefined) void report(message as Question);
  });
  isReady = true;
  tell({ ready: true });
}

/** To a primary that has died nothing is told; that it has is heard of otherwise. */
function tell(message: Hello | Ready | Report): void {
  process.send?.(message, undefined, undefined, () => {});
}
