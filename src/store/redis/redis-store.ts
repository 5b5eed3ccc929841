import type { Claim, DoubtCause, Fingerprint, Landing, Lease, RecordKey } from "../../model.js";
import { decodeLanding, decodeResponse, encodeLanding, encodeResponse } from "../codec.js";
import {
  type ClaimRequest,
  type Completion,
  type DoubtCount,
  type ListPage,
  type ListQuery,
  type Origin,
  type RecordStore,
  type RecordView,
  type Resolution,
  type Seen,
  StoreUnavailableError,
  type Swept,
} from "../record-store.js";
import { countDoubts, mergeCounts } from "./census.js";
import type { KeyNames } from "./keys.js";
import { listRecords, mergePages } from "./list.js";
import type { RedisNode } from "./node.js";
import type { Primaries } from "./primaries.js";
import { sweepTags } from "./sweep.js";
import { seenText, viewOf } from "./view.js";
import type { Wakes } from "./wake.js";

/** What a store is made of; `openRedisStore` makes it. */
export interface RedisParts {
  readonly primaries: Primaries;
  readonly names: KeyNames;
  readonly wakes: Wakes;
  readonly commandTimeoutMs: number;
}

/** One script a verb, one round trip a script; see `claim.lua` and its siblings for what is decided there. */
export class RedisStore implements RecordStore {
  /** Twice, because the server's clock may be slowed while a claim is under way. */
  readonly withdrawAfterMs: number;

  constructor(private readonly parts: RedisParts) {
    this.withdrawAfterMs = 2 * parts.commandTimeoutMs;
  }

  claim(request: ClaimRequest): Promise<Claim> {
    return this.#tryClaim(request, true);
  }

  #tryClaim(request: ClaimRequest, mayTryAgain: boolean): Promise<Claim> {
    const { lease } = request;
    let asked: RedisNode | undefined;
    return this.#ask("claim", lease.key, (node) => {
      asked = node;
      const [record, open] = this.#keys(lease.key);
      return node.client.claimBuffer(
        record,
        open,
        lease.token,
        request.fingerprint,
        request.leaseMs,
        request.openRetentionMs,
        request.mayTake ? "1" : "0",
        request.after ?? "",
        request.route,
        request.namespace,
        request.keyHash,
        node.clock.nowMs(),
        this.parts.commandTimeoutMs,
      );
    }).then((reply) => {
      const node = asked!;
      node.clock.learn(reply[1] as number);
      if (text(reply[0]) === "late") {
        if (!mayTryAgain) throw new StoreUnavailableError("claim", false);
        // Refused, because this process did not know what the server's clock shows. The refusal has told it.
        return this.#tryClaim(request, false);
      }
      const claim = claimOf(reply);
      if (claim.kind !== "won" || node.confirmations === undefined) return claim;
      return this.#confirm(lease, node).then(() => claim);
    });
  }

  /** What too few replicas hold may be forgotten in a failover: then nothing may be sent for it, and it is undone. */
  async #confirm(lease: Lease, { confirmations }: RedisNode): Promise<void> {
    if (confirmations === undefined) return;
    if (await confirmations.confirm(this.parts.names.record(lease.key), lease.token)) return;
    const isUndone = await this.withdraw(lease).then(
      () => true,
      () => false,
    );
    throw new StoreUnavailableError("claim", !isUndone, { cause: new Error("too few replicas confirmed the claim") });
  }

  async extend(lease: Lease, leaseMs: number, openRetentionMs: number): Promise<"kept" | "lost"> {
    const answer = await this.#ask("extend", lease.key, ({ client }) =>
      client.extend(...this.#keys(lease.key), lease.token, leaseMs, openRetentionMs),
    );
    return answer as "kept" | "lost";
  }

  complete(lease: Lease, completion: Completion, origin: Origin): Promise<"stored" | "lost"> {
    const { kind } = completion;
    const response =
      kind === "response" ? completion.response : { ...completion, reason: "", body: nothing, trailers: [] };
    const [record, open] = this.#keys(lease.key);
    const answer = this.#ask("complete", lease.key, ({ client }) =>
      client.complete(
        record,
        open,
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
    return answer as Promise<"stored" | "lost">;
  }

  async withdraw(lease: Lease): Promise<"withdrawn" | "lost"> {
    const answer = await this.#ask("withdraw", lease.key, ({ client }) =>
      client.withdraw(...this.#keys(lease.key), lease.token),
    );
    return answer as "withdrawn" | "lost";
  }

  async release(
    lease: Lease,
    landed?: { readonly landing: Landing; readonly landingMs: number },
  ): Promise<"released" | "lost"> {
    const landing = landed === undefined ? "" : encodeLanding(landed.landing);
    const answer = await this.#ask("release", lease.key, ({ client }) =>
      client.release(...this.#keys(lease.key), lease.token, landing, landed?.landingMs ?? 0),
    );
    return answer as "released" | "lost";
  }

  async strand(
    lease: Lease,
    cause: DoubtCause,
    landing: Landing | undefined,
    origin: Origin,
  ): Promise<"stranded" | "lost"> {
    const [record, open] = this.#keys(lease.key);
    const blob = landing === undefined ? "" : encodeLanding(landing);
    const answer = await this.#ask("strand", lease.key, ({ client }) =>
      client.strand(
        record,
        open,
        lease.token,
        cause,
        blob,
        origin.openRetentionMs,
        origin.fingerprint,
        origin.route,
        origin.namespace,
        origin.keyHash,
      ),
    );
    return answer as "stranded" | "lost";
  }

  async peek(key: RecordKey, withResponse: boolean): Promise<RecordView | undefined> {
    const { names } = this.parts;
    const reply = await this.#ask("peek", key, ({ client }) =>
      client.peekBuffer(names.record(key), withResponse ? "1" : "0"),
    );
    return viewOf(key, reply);
  }

  async list(query: ListQuery): Promise<ListPage> {
    const { names, primaries } = this.parts;
    const pages = primaries
      .shares()
      .map(({ node, tags }) => node.ask("list", ({ client }) => listRecords(client, names, query, tags)));
    return mergePages(await Promise.all(pages), query.limit);
  }

  async census(): Promise<readonly DoubtCount[]> {
    const { names, primaries } = this.parts;
    const counts = primaries
      .shares()
      .map(({ node, tags }) => node.ask("census", ({ client }) => countDoubts(client, names, tags)));
    return mergeCounts((await Promise.all(counts)).flat());
  }

  async sweep(limit: number): Promise<readonly Swept[]> {
    const { names, primaries } = this.parts;
    const swept: Swept[] = [];
    for (const { node, tags } of primaries.shares()) {
      const left = limit - swept.length;
      if (left > 0) swept.push(...(await node.ask("sweep", ({ client }) => sweepTags(client, names, tags, left))));
    }
    return swept;
  }

  async forget(key: RecordKey, seen?: Seen) {
    const answer = await this.#ask("forget", key, ({ client }) => client.forget(...this.#keys(key), seenText(seen)));
    return answer as "forgotten" | "absent" | "inFlight" | "moved";
  }

  async resolve(key: RecordKey, resolution: Resolution, seen?: Seen) {
    const args: [string, ...(string | number | Buffer)[]] =
      resolution.kind === "notDone"
        ? ["free"]
        : ["completed", resolution.response.status, encodeResponse(resolution.response), resolution.retentionMs];
    const answer = await this.#ask("resolve", key, ({ client }) =>
      client.resolve(...this.#keys(key), seenText(seen), ...args),
    );
    return answer as "resolved" | "absent" | "notInDoubt" | "moved";
  }

  watch(key: RecordKey, wake: () => void): () => void {
    return this.parts.wakes.watch(this.parts.names.record(key), wake);
  }

  async ping(): Promise<void> {
    await Promise.all(this.parts.primaries.shares().map(({ node }) => node.ping()));
  }

  async close(): Promise<void> {
    this.parts.wakes.close();
    await this.parts.primaries.close();
  }

  #keys(key: RecordKey): [record: string, open: string] {
    const { names } = this.parts;
    return [names.record(key), names.open(key.slice(0, 2))];
  }

  #ask<T>(operation: string, key: RecordKey, send: (node: RedisNode) => Promise<T>): Promise<T> {
    return this.parts.primaries.ask(operation, key.slice(0, 2), send);
  }
}

const nothing = Buffer.alloc(0);

function claimOf(reply: unknown[]): Claim {
  const kind = text(reply[0]);
  if (kind === "won") {
    const taken = reply.length < 4 ? null : (text(reply[3]) as DoubtCause);
    return { kind, attempts: Number(reply[2]), taken, ...(reply[4] === 1 ? { expired: true } : {}) };
  }
  const fingerprint = text(reply[2]) as Fingerprint;
  switch (kind) {
    case "held":
      return { kind, fingerprint, flight: text(reply[3]), remainingMs: Number(reply[4]) };
    case "done": {
      const blob = reply[4] as Buffer;
      const remainingMs = Math.max(0, Number(reply[5]));
      return { kind, fingerprint, ageMs: Number(reply[3]), remainingMs, response: decodeResponse(blob), blob };
    }
    case "inDoubt":
      return { kind, fingerprint, cause: text(reply[3]) as DoubtCause, expired: reply[4] === 1 };
    case "notReplayable":
      return { kind, fingerprint, status: Number(reply[3]) };
    case "landed":
      return { kind, fingerprint, landing: decodeLanding(reply[3] as Buffer) };
    default:
      throw new Error(`claim.lua answered ${kind}`);
  }
}

function text(value: unknown): string {
  return Buffer.isBuffer(value) ? value.toString("latin1") : String(value);
}
