import type { RedisConfig } from "../../config/config.js";
import type { RecordStore } from "../record-store.js";
import type { ConnectionHooks } from "../redis/connect.js";
import { LockNode } from "./lock-node.js";
import { QuorumLocks } from "./quorum-locks.js";
import { type QuorumHooks, QuorumStore } from "./quorum-store.js";

export interface QuorumOptions {
  /** Redis URLs, an odd number of servers that share nothing with one another. */
  readonly nodes: readonly string[];
  readonly keyPrefix: string;
  readonly commandTimeoutMs: number;
  readonly hooks: QuorumHooks & {
    /** Something an operator should know, in words, without secrets. Once for each change for the worse. */
    readonly onTrouble: (text: string) => void;
    readonly onRecovery?: (text: string) => void;
  };
  /** How long a majority may take to answer for the first time, ms. */
  readonly startTimeoutMs?: number;
  /** Monotonic, ms. */
  readonly now?: () => number;
}

/**
 * The store, guarded by locks. It is closed with the result, and when this rejects: with one plain sentence that names
 * the nodes, and no secret.
 */
export async function openQuorumStore(store: RecordStore, options: QuorumOptions): Promise<RecordStore> {
  const { hooks, startTimeoutMs = 5_000, now = () => performance.now() } = options;
  const { onTrouble, onRecovery = () => {} } = hooks;
  const nodes = nodesOf(options, {
    onTrouble: (text) => onTrouble(`lock node: ${text}`),
    onRecovery: (text) => onRecovery(`lock node: ${text}`),
  });
  try {
    demandIndependence(nodes);
    const locks = new QuorumLocks(nodes, { ...options, onTrouble, onRecovery, now });
    await majorityOf(nodes, startTimeoutMs, (text) => onTrouble(`lock node: ${text}`));
    return new QuorumStore(store, locks, hooks);
  } catch (error) {
    await Promise.all(nodes.map((node) => node.close()));
    await store.close();
    throw error;
  }
}

function nodesOf({ nodes, keyPrefix, commandTimeoutMs }: QuorumOptions, hooks: ConnectionHooks) {
  return nodes.map((url) => {
    const config: RedisConfig = {
      type: "redis",
      url,
      sentinel: null,
      cluster: null,
      keyPrefix,
      commandTimeoutMs,
      waitReplicas: 0,
      requireNoEviction: true,
      locks: { nodes: [] },
    };
    return new LockNode(config, hooks);
  });
}

/** Two names for one server would be a majority that falls as one. */
function demandIndependence(nodes: readonly LockNode[]): void {
  const places = nodes.map((node) => node.place);
  const twice = places.find((place, index) => places.indexOf(place) !== index);
  if (twice !== undefined) throw new Error(`store.locks.nodes: ${twice} is named twice`);
}

/** Resolves when more than half of them have answered; the others come when they can, and are told of. */
function majorityOf(
  nodes: readonly LockNode[],
  startTimeoutMs: number,
  onTrouble: (text: string) => void,
): Promise<void> {
  const quorum = (nodes.length + 1) / 2;
  const reasons: string[] = [];
  let answering = 0;
  return new Promise((resolve, reject) => {
    const answered = () => {
      answering += 1;
      if (answering !== quorum) return;
      resolve();
      for (const reason of reasons) onTrouble(reason);
    };
    const failed = ({ message }: Error) => {
      if (answering >= quorum) return onTrouble(message);
      reasons.push(message);
      if (reasons.length < quorum) return;
      reject(new Error(`too few of store.locks.nodes can be reached. ${reasons.join(". ")}`));
    };
    for (const node of nodes) node.connect(startTimeoutMs).then(answered, failed);
  });
}
