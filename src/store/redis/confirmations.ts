import type { Connection } from "./connect.js";

interface Question {
  readonly record: string;
  readonly token: string;
  readonly answer: (isConfirmed: boolean) => void;
}

export interface ConfirmationOptions {
  readonly replicas: number;
  /** How long replicas may take, ms. Redis counts it in steps of about a tenth of a second. */
  readonly timeoutMs: number;
  /** The name of a key that the node of this record may write, and nobody reads. */
  readonly markOf: (record: string) => string;
}

/** Records asked about together. */
const batchSize = 500;
const markMs = 60_000;

/**
 * Asks whether enough replicas hold a claim. WAIT stops a whole connection, and speaks of what this connection wrote;
 * so it has one of its own, on which no script ever runs, and asks for all claims that were won since it asked last:
 *
 *     SET mark · HGET token of each record · WAIT
 *
 * Replication keeps the order. The claims were answered before the mark was written, so a replica that has the mark
 * has them too. The tokens are read because a failover may have led this connection and that of the claim to two
 * servers: what counts is that the record stands on the very server whose replicas are counted.
 */
export class Confirmations {
  #questions: Question[] = [];
  #isAsking = false;
  #fellShort = false;

  constructor(
    /** Of its own. Its command timeout has to exceed the replicas'. */
    private readonly connection: Connection,
    private readonly options: ConfirmationOptions,
  ) {}

  /** Never rejects: what cannot be confirmed is not confirmed. */
  async confirm(record: string, token: string): Promise<boolean> {
    // While replicas are missing one batch at a time waits for them, and tells when they are back. The rest need not.
    if (this.connection.client.status !== "ready" || (this.#fellShort && this.#isAsking)) return false;
    return await new Promise((answer) => {
      this.#questions.push({ record, token, answer });
      if (!this.#isAsking) void this.#askAll();
    });
  }

  async close(): Promise<void> {
    await this.connection.close();
  }

  async #askAll(): Promise<void> {
    this.#isAsking = true;
    while (this.#questions.length > 0) {
      const batch = this.#questions.splice(0, batchSize);
      const found = await this.#ask(batch);
      this.#fellShort = !found.isReplicated;
      for (const [index, { token, answer }] of batch.entries()) {
        answer(found.isReplicated && found.tokens[index] === token);
      }
    }
    this.#isAsking = false;
  }

  async #ask(batch: readonly Question[]): Promise<{ isReplicated: boolean; tokens: readonly unknown[] }> {
    const { replicas, timeoutMs, markOf } = this.options;
    const pipeline = this.connection.client.pipeline().set(markOf(batch[0]!.record), batch.length, "PX", markMs);
    for (const { record } of batch) pipeline.hget(record, "token");
    try {
      const replies = (await pipeline.wait(replicas, timeoutMs).exec()) ?? [];
      const [markError] = replies[0]!;
      const [waitError, count] = replies.at(-1)!;
      // Nobody knows how long the server will hold this connection: a new one is free.
      if (waitError?.message === "Command timed out") this.connection.client.disconnect(true);
      const isReplicated = markError === null && waitError === null && Number(count) >= replicas;
      return {
        isReplicated,
        tokens: replies.slice(1, -1).map(([error, token]) => (error === null ? token : undefined)),
      };
    } catch {
      return { isReplicated: false, tokens: [] };
    }
  }
}
