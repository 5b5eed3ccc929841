import type { RedisConfig } from "../../config/config.js";
import type { RecordKey } from "../../model.js";
import { StoreUnavailableError } from "../record-store.js";
import { Breaker } from "./breaker.js";
import { Confirmations } from "./confirmations.js";
import { type ConnectionHooks, connectRedis, placeOf, type RecordRedis } from "./connect.js";
import type { KeyNames } from "./keys.js";
import { inspectRedis, objection } from "./preflight.js";
import { ServerClock } from "./server-clock.js";
import { UnknownFormatError } from "./view.js";

export interface NodeParts {
  readonly client: RecordRedis;
  readonly clock: ServerClock;
  readonly breaker: Breaker;
  /** `undefined`: no replica is asked. */
  readonly confirmations: Confirmations | undefined;
  readonly close: () => Promise<void>;
}

/**
 * One primary as the store uses it. Clock and breaker are its own: in a cluster the next one shows another time, and
 * goes on answering when this one does not.
 */
export class RedisNode {
  readonly client: RecordRedis;
  readonly clock: ServerClock;
  readonly confirmations: Confirmations | undefined;
  readonly #breaker: Breaker;
  readonly #close: () => Promise<void>;
  #held: RecordRedis["stream"] | undefined;

  constructor({ client, clock, breaker, confirmations, close }: NodeParts) {
    this.client = client;
    this.clock = clock;
    this.confirmations = confirmations;
    this.#breaker = breaker;
    this.#close = close;
  }

  get isAnswering(): boolean {
    return this.client.status === "ready" && !this.#breaker.isOpen;
  }

  /** Rejects with `StoreUnavailableError`, whose cause has the server's words, and only the words. */
  ask<T>(operation: string, send: (node: RedisNode) => Promise<T>): Promise<T> {
    if (!this.isAnswering) return Promise.reject(new StoreUnavailableError(operation, false));
    this.#hold();
    let answer: Promise<T>;
    try {
      answer = send(this);
    } catch (error) {
      return Promise.reject(this.#failure(operation, error));
    }
    return answer.then(
      (reply) => {
        this.#breaker.answered();
        return reply;
      },
      (error: unknown) => {
        throw this.#failure(operation, error);
      },
    );
  }

  #failure(operation: string, error: unknown): unknown {
    if (!(error instanceof Error)) return error;
    const { name, message } = error;
    if (message === "Command timed out") this.#breaker.missed();
    if (name === "ReplyError") this.#breaker.answered();
    const format = /^(?:ERR )?FORMAT (.*)$/.exec(message)?.[1];
    if (format !== undefined) return new UnknownFormatError(format);
    if (message.includes("WRONGTYPE")) return new Error("what lies under the name of the record is no record");
    // Only the message goes on: the error itself carries the command's arguments, and those end in no log.
    return new StoreUnavailableError(operation, name !== "ReplyError" || !isRefusal.test(message), {
      cause: new Error(message),
    });
  }

  /** What is sent in one turn of the event loop leaves in one write, which costs more than all else about a command. */
  #hold(): void {
    const { stream } = this.client;
    if (this.#held === stream) return;
    stream.cork();
    this.#held = stream;
    setImmediate(() => {
      if (this.#held === stream) this.#held = undefined;
      stream.uncork();
    });
  }

  /** Asks for the time, so that the answer sets the clock right. */
  async ping(): Promise<void> {
    const [seconds, micros] = await this.ask("ping", ({ client }) => client.time());
    this.clock.learn(Number(seconds) * 1000 + Math.floor(Number(micros) / 1000));
  }

  async close(): Promise<void> {
    await this.#close();
  }
}

/** What a server says before it has begun to carry out a command. All scripts write, if at all, after their first read. */
const isRefusal =
  /^(OOM|LOADING|READONLY|MASTERDOWN|CLUSTERDOWN|MISCONF|NOREPLICAS|NOAUTH|NOPERM|BUSY|TRYAGAIN|MOVED|ASK)\b/;

export interface NodeOptions {
  readonly config: RedisConfig;
  readonly names: KeyNames;
  readonly hooks: ConnectionHooks;
  readonly startTimeoutMs: number;
  readonly isClusterNode: boolean;
  /** Told whenever it stops answering. */
  readonly onSilence: () => void;
}

/** Rejects with one plain sentence that names the server, and no secret, when records cannot be kept there. */
export async function openNode({ config, names, hooks, startTimeoutMs, ...rest }: NodeOptions): Promise<RedisNode> {
  const place = placeOf(config);
  const { client, close } = await connectRedis(config, hooks, startTimeoutMs);
  const inspect = async () => {
    const wanted = { requireNoEviction: config.requireNoEviction, isClusterNode: rest.isClusterNode };
    const reason = (await reasonAgainst(client, wanted)) ?? (await refusedRight(client, names, rest.isClusterNode));
    return reason === undefined ? undefined : `Redis at ${place} ${reason}`;
  };
  const refusal = await inspect();
  if (refusal !== undefined) {
    await close();
    throw new Error(refusal);
  }
  const clock = new ServerClock();
  const breaker = new Breaker({
    probe: () => client.ping(),
    missesToOpen: 3,
    probeEveryMs: config.commandTimeoutMs,
    // Where sentinels know of another primary, a silent one is not waited for.
    missesToSilence: config.sentinel === null ? 10 : 2,
    onOpen() {
      hooks.onTrouble(`Redis at ${place} has stopped answering`);
      rest.onSilence();
    },
    onClose: () => hooks.onRecovery(`Redis at ${place} answers again`),
    onSilence: () => client.status === "ready" && client.disconnect(true),
  });
  client.on("close", rest.onSilence);
  client.on("ready", () => {
    clock.forget();
    breaker.answered();
    // It may be another server than before, or the same one with other settings.
    inspect().then(
      (trouble) => trouble !== undefined && hooks.onTrouble(trouble),
      () => {},
    );
  });
  const confirmations = await openConfirmations(config, names, startTimeoutMs);
  const node = new RedisNode({
    client,
    clock,
    breaker,
    confirmations,
    async close() {
      breaker.stop();
      await Promise.all([confirmations?.close(), close()]);
    },
  });
  // So that the first claim is not the one to learn the time.
  await node.ping();
  return node;
}

async function openConfirmations(
  config: RedisConfig,
  names: KeyNames,
  startTimeoutMs: number,
): Promise<Confirmations | undefined> {
  const { waitReplicas: replicas, commandTimeoutMs: timeoutMs } = config;
  if (replicas === 0) return undefined;
  // The connection for commands goes the same way and reports it.
  const quiet = { onTrouble: () => {}, onRecovery: () => {} };
  const patient = { ...config, commandTimeoutMs: 2 * timeoutMs + 500 };
  const connection = await connectRedis(patient, quiet, startTimeoutMs);
  return new Confirmations(connection, { replicas, timeoutMs, markOf: (record) => names.mark(record) });
}

async function reasonAgainst(
  client: RecordRedis,
  wanted: { requireNoEviction: boolean; isClusterNode: boolean },
): Promise<string | undefined> {
  try {
    const reason = objection(await inspectRedis(client), wanted);
    if (reason !== undefined) return reason;
  } catch (error) {
    if (!(error instanceof Error) || !error.message.startsWith("NOPERM")) throw error;
    if (wanted.requireNoEviction) return infoDenied;
  }
  return undefined;
}

/** Tries a script on a record that cannot be there: what the user may not do is better known now than at a claim. */
async function refusedRight(client: RecordRedis, names: KeyNames, isClusterNode: boolean): Promise<string | undefined> {
  try {
    if (isClusterNode) await client.teach();
    await client.peekBuffer(names.record("0".repeat(64) as RecordKey), "0");
    return undefined;
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    if (isClusterNode && /^(MOVED|ASK|CLUSTERDOWN|TRYAGAIN)\b/.test(error.message)) return undefined;
    if (!error.message.startsWith("NOPERM")) throw error;
    return `refuses what the store needs: ${error.message}`;
  }
}

const infoDenied =
  "does not permit INFO, so nobody can see whether it may evict records. Permit it (ACL: +info), or do without the check with store.requireNoEviction: false";
