import type { Claim, DoubtCause, Fingerprint, Landing, Lease, RecordKey } from "../../model.js";
import { decodeLanding, decodeResponse, encodeLanding, encodeResponse } from "../codec.js";
import {
  type ClaimRequest,
  type Completion,
  type ListPage,
  type ListQuery,
  type Origin,
  type RecordStore,
  type RecordView,
  type Resolution,
  StoreUnavailableError,
} from "../record-store.js";
import type { Breaker } from "./breaker.js";
import type { RecordRedis } from "./connect.js";
import type { KeyNames } from "./keys.js";
import { listRecords } from "./list.js";
import type { ServerClock } from "./server-clock.js";
import { UnknownFormatError, viewOf } from "./view.js";
import type { Wakes } from "./wake.js";

/** What a store is made of; `openRedisStore` makes it. */
export interface RedisParts {
  readonly client: RecordRedis;
  readonly names: KeyNames;
  readonly breaker: Breaker;
  readonly clock: ServerClock;
  readonly wakes: Wakes;
  readonly commandTimeoutMs: number;
  readonly close: () => Promise<void>;
}

/** One script a verb, one round trip a script; see `claim.lua` and its siblings for what is decided there. */
export class RedisStore implements RecordStore {
  /** Twice, because the server's clock may be slowed while a claim is under way. */
  readonly withdrawAfterMs: number;

  constructor(private readonly parts: RedisParts) {
    this.withdrawAfterMs = 2 * parts.commandTimeoutMs;
  }

  async claim(request: ClaimRequest): Promise<Claim> {
    let reply = await this.#tryClaim(request);
    // Refused, because this process did not know what the server's clock shows. The refusal has told it.
    if (text(reply[0]) === "late") reply = await this.#tryClaim(request);
    if (text(reply[0]) === "late") throw new StoreUnavailableError("claim", false);
    return claimOf(reply, request);
  }

  async #tryClaim(request: ClaimRequest): Promise<unknown[]> {
    const { client, clock, commandTimeoutMs } = this.parts;
    const { lease } = request;
    const reply = await this.#ask("claim", () =>
      client.claimBuffer(
        ...this.#keys(lease.key),
        lease.token,
        request.fingerprint,
        request.leaseMs,
        request.retentionMs,
        request.mayTake ? "1" : "0",
        request.after ?? "",
        request.route,
        request.namespace,
        request.keyHash,
        clock.nowMs(),
        commandTimeoutMs,
      ),
    );
    clock.learn(reply[1] as number);
    return reply;
  }

  async extend(lease: Lease, leaseMs: number, retentionMs: number): Promise<"kept" | "lost"> {
    const { client } = this.parts;
    const answer = await this.#ask("extend", () =>
      client.extend(...this.#keys(lease.key), lease.token, leaseMs, retentionMs),
    );
    return answer as "kept" | "lost";
  }

  async complete(lease: Lease, completion: Completion, origin: Origin): Promise<"stored" | "lost"> {
    const { client } = this.parts;
    const { kind } = completion;
    const response =
      kind === "response" ? completion.response : { ...completion, reason: "", body: nothing, trailers: [] };
    const answer = await this.#ask("complete", () =>
      client.complete(
        ...this.#keys(lease.key),
        lease.token,
        kind === "response" ? "completed" : "not_replayable",
        response.status,
        encodeResponse(response),
        origin.retentionMs,
        origin.fingerprint,
        origin.route,
        origin.namespace,
        origin.keyHash,
      ),
    );
    return answer as "stored" | "lost";
  }

  async withdraw(lease: Lease): Promise<"withdrawn" | "lost"> {
    const { client } = this.parts;
    const answer = await this.#ask("withdraw", () => client.withdraw(...this.#keys(lease.key), lease.token));
    return answer as "withdrawn" | "lost";
  }

  async release(
    lease: Lease,
    landed?: { readonly landing: Landing; readonly landingMs: number },
  ): Promise<"released" | "lost"> {
    const { client } = this.parts;
    const landing = landed === undefined ? "" : encodeLanding(landed.landing);
    const answer = await this.#ask("release", () =>
      client.release(...this.#keys(lease.key), lease.token, landing, landed?.landingMs ?? 0),
    );
    return answer as "released" | "lost";
  }

  async strand(
    lease: Lease,
    cause: DoubtCause,
    landing: Landing | undefined,
    retentionMs: number,
  ): Promise<"stranded" | "lost"> {
    const { client } = this.parts;
    const blob = landing === undefined ? "" : encodeLanding(landing);
    const answer = await this.#ask("strand", () =>
      client.strand(...this.#keys(lease.key), lease.token, cause, blob, retentionMs),
    );
    return answer as "stranded" | "lost";
  }

  async peek(key: RecordKey, withResponse: boolean): Promise<RecordView | undefined> {
    const { client, names } = this.parts;
    const reply = await this.#ask("peek", () => client.peekBuffer(names.record(key), withResponse ? "1" : "0"));
    return viewOf(key, reply);
  }

  async list(query: ListQuery): Promise<ListPage> {
    const { client, names } = this.parts;
    return await this.#ask("list", () => listRecords(client, names, query));
  }

  async forget(key: RecordKey): Promise<"forgotten" | "absent" | "inFlight"> {
    const { client } = this.parts;
    const answer = await this.#ask("forget", () => client.forget(...this.#keys(key)));
    return answer as "forgotten" | "absent" | "inFlight";
  }

  async resolve(key: RecordKey, resolution: Resolution): Promise<"resolved" | "absent" | "notInDoubt"> {
    const { client } = this.parts;
    const args: [string, ...(string | number | Buffer)[]] =
      resolution.kind === "notDone"
        ? ["free"]
        : ["completed", resolution.response.status, encodeResponse(resolution.response), resolution.retentionMs];
    const answer = await this.#ask("resolve", () => client.resolve(...this.#keys(key), ...args));
    return answer as "resolved" | "absent" | "notInDoubt";
  }

  watch(key: RecordKey, wake: () => void): () => void {
    return this.parts.wakes.watch(this.parts.names.record(key), wake);
  }

  /** Asks for the time, so that the answer sets the clock right. */
  async ping(): Promise<void> {
    const { client, clock } = this.parts;
    const [seconds, micros] = await this.#ask("ping", () => client.time());
    clock.learn(Number(seconds) * 1000 + Math.floor(Number(micros) / 1000));
  }

  async close(): Promise<void> {
    await this.parts.close();
  }

  #keys(key: RecordKey): [record: string, open: string] {
    const { names } = this.parts;
    return [names.record(key), names.open(key.slice(0, 2))];
  }

  async #ask<T>(operation: string, send: () => Promise<T>): Promise<T> {
    const { client, breaker } = this.parts;
    if (client.status !== "ready" || breaker.isOpen) throw new StoreUnavailableError(operation, false);
    try {
      const reply = await send();
      breaker.answered();
      return reply;
    } catch (error) {
      if (!(error instanceof Error) || error instanceof UnknownFormatError) throw error;
      const { name, message } = error;
      if (message === "Command timed out") breaker.missed();
      if (name === "ReplyError") breaker.answered();
      // Only the message goes on: the error itself carries the command's arguments, and those end in no log.
      throw new StoreUnavailableError(operation, name !== "ReplyError" || !isRefusal.test(message), {
        cause: new Error(message),
      });
    }
  }
}

/** What a server says before it has begun to carry out a command. All scripts write, if at all, after their first read. */
const isRefusal =
  /^(OOM|LOADING|READONLY|MASTERDOWN|CLUSTERDOWN|MISCONF|NOREPLICAS|NOAUTH|NOPERM|BUSY|TRYAGAIN|MOVED|ASK)\b/;

const nothing = Buffer.alloc(0);

function claimOf(reply: unknown[], request: ClaimRequest): Claim {
  const kind = text(reply[0]);
  if (kind === "won") {
    const taken = text(reply[3]) === "" ? null : (text(reply[3]) as DoubtCause);
    return { kind, attempts: Number(reply[2]), taken, ...(reply[4] === 1 ? { expired: true } : {}) };
  }
  const fingerprint = text(reply[2]) as Fingerprint;
  switch (kind) {
    case "held":
      return { kind, fingerprint, flight: text(reply[3]), remainingMs: Number(reply[4]) };
    case "done":
      return { kind, fingerprint, ageMs: Number(reply[3]), response: decodeResponse(reply[4] as Buffer) };
    case "inDoubt":
      return { kind, fingerprint, cause: text(reply[3]) as DoubtCause, expired: reply[4] === 1 };
    case "notReplayable":
      return { kind, fingerprint, status: Number(reply[3]) };
    case "landed":
      return { kind, fingerprint, landing: decodeLanding(reply[3] as Buffer) };
    default:
      throw new UnknownFormatError(request.lease.key, fingerprint);
  }
}

function text(value: unknown): string {
  return Buffer.isBuffer(value) ? value.toString("latin1") : String(value);
}
