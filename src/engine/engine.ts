import type { EventHub } from "../events.js";
import type { Attempt, Claim, FlightId, Landing, Lease, StreamedResponse } from "../model.js";
import { inProgress, judge, keyExpired, outcomeUnknown, type Verdict } from "../rules/judge.js";
import { type RecordStore, StoreUnavailableError } from "../store/record-store.js";
import { TurnoverMap } from "../turnover.js";
import { Alarm } from "./alarm.js";
import { type Answer, always, ownAnswer, repeated } from "./answer.js";
import { Executions, type Won } from "./executions.js";
import { type Client, Flight } from "./flight.js";
import { aboutOf } from "./settle.js";
import { Sweep } from "./sweep.js";
import { newLease } from "./token.js";
import { answerWithoutStore, wouldHave } from "./unguarded.js";
import { Withdrawals } from "./withdrawals.js";

/** What a drain that is over waits for claims still to be answered, ms: they are taken back. */
const lastWordsMs = 1000;

/** Between two looks at a record that somebody else runs, ms: the first, then doubled up to the last; each ± a quarter. */
const firstLookMs = 100;
const lastLookMs = 1000;

/**
 * Sees to it that each record is run at most once, and that everybody who wants its result gets the same one.
 *
 * One question decides (`store.claim`); everything else follows from its answer. Duplicates in this process share the
 * flight of the first of them and cost the store nothing.
 */
export class Engine {
  /** By key and fingerprint: between requests that differ in the fingerprint alone, the store decides. */
  readonly #flights = new TurnoverMap<string, Flight>();
  readonly #executions: Executions;
  readonly #withdrawals: Withdrawals;
  readonly #sweep: Sweep;
  /** Flights and observations that are not over, also those nobody waits for any more. */
  #underWay = 0;
  /** Claims that are not answered. */
  #claims = 0;
  #isAbandoned = false;

  constructor(
    private readonly store: RecordStore,
    private readonly hub: EventHub,
  ) {
    this.#withdrawals = new Withdrawals(store, hub);
    this.#executions = new Executions(store, hub, (lease, policy) => this.#withdrawals.add(lease, policy));
    this.#sweep = new Sweep(store, hub);
  }

  /** `client.reply` is called once, later or now. Returns what to call when the client hangs up: `true`, it will not be. */
  begin(client: Client): () => boolean {
    if (this.#isAbandoned) {
      client.reply(tooLate);
      return () => false;
    }
    if (client.attempt.policy.mode === "observe") {
      void this.#observe(client);
      return () => false;
    }
    const { key, fingerprint, mustExist } = client.attempt;
    const place = key + fingerprint + (mustExist ? "!" : "");
    const known = this.#flights.get(place);
    if (known !== undefined) {
      known.join(client);
      return () => known.leave(client);
    }
    // A hot replay is answered here and now: no flight, no claim, no promise.
    const final = this.store.recall?.(client.attempt.key);
    if (final !== undefined) {
      const { fingerprint, policy } = client.attempt;
      client.reply(answerOf(judge(final, fingerprint, policy), false));
      return () => false;
    }
    const flight = new Flight(client, this.hub);
    this.#flights.set(place, flight);
    void this.#fly(flight, place);
    return () => flight.leave(client);
  }

  async #fly(flight: Flight, place: string): Promise<void> {
    let alarm: Alarm | undefined;
    this.#underWay += 1;
    try {
      const look = await this.#firstLook(flight);
      if (look === "absent") {
        for (const client of this.#over(flight, place)) client.reply(tooOld);
      } else if (this.#isOurs(look, flight)) {
        await this.#run(flight, place, look, false);
      } else {
        alarm = new Alarm((ring) => this.store.watch(flight.attempt.key, ring));
        await this.#seek(look, flight, place, alarm);
      }
    } catch (error) {
      const wasRunning = flight.phase === "running";
      this.#failed(flight.attempt, error, this.#over(flight, place), wasRunning);
    } finally {
      alarm?.close();
      this.#underWay -= 1;
    }
  }

  /** Resolves when nothing is claimed or runs, none is being written, and no claim waits to be withdrawn. */
  async idle(): Promise<void> {
    while (this.#underWay > 0) await moment();
    await this.#executions.idle();
    await this.#withdrawals.idle();
    await this.#sweep.stop();
  }

  /** What still runs is left in doubt, and who still waits is told so. For the end of a drain. */
  async abandon(): Promise<void> {
    this.#isAbandoned = true;
    void this.#sweep.stop();
    for (const [place, flight] of [...this.#flights]) {
      const problem = flight.phase === "running" ? outcomeUnknown : inProgress;
      const result = flight.phase === "running" ? "outcome_unknown" : "in_progress";
      for (const client of this.#over(flight, place)) client.reply({ kind: "problem", problem, result });
    }
    await this.#executions.abandon();
    // What was being claimed is nobody's any more.
    const endsAtMs = performance.now() + lastWordsMs;
    while (this.#claims > 0 && performance.now() < endsAtMs) await moment();
    const rest = new Promise((resolve) => setTimeout(resolve, endsAtMs - performance.now()).unref());
    await Promise.race([this.#withdrawals.idle(), rest]);
    this.#withdrawals.close();
  }

  /**
   * Of a key that is too old to begin a record, `absent` where there is none. Nothing is written then: such a
   * request costs the store one look.
   */
  async #firstLook(flight: Flight): Promise<Look | "absent"> {
    const { key, mustExist } = flight.first.attempt;
    if (!mustExist) return this.#look(flight, undefined);
    const known = await this.store.peek(key, false).catch(() => null);
    return known === undefined ? "absent" : this.#look(flight, undefined);
  }

  /** Asks the store, once. */
  #look({ first: { attempt } }: Flight, after: FlightId | undefined): Promise<Look> {
    const lease = newLease(attempt.key);
    const askedAtMs = performance.now();
    return this.#ask(attempt, lease, after).then((claim) => ({ lease, askedAtMs, claim }));
  }

  /** What nearly every first look finds: the record is ours, there is no doubt about it, and somebody wants it. */
  #isOurs({ claim, askedAtMs }: Look, flight: Flight): boolean {
    if (claim?.kind !== "won" || claim.taken !== null || flight.isEmpty || flight.first.attempt.mustExist) return false;
    return this.#executions.isSurelyOurs(askedAtMs, flight.first.attempt);
  }

  /** Looks until the record is ours, or somebody else has ended it, or nobody here wants it any more. */
  async #seek(look: Look, flight: Flight, place: string, alarm: Alarm): Promise<void> {
    let after: FlightId | undefined;
    let lookMs = firstLookMs;
    for (; ; look = await this.#look(flight, after)) {
      const { claim, lease } = look;
      const { attempt } = flight.first;
      if (claim === undefined && flight.phase === "claiming") {
        for (const client of this.#over(flight, place)) void answerWithoutStore(client);
        return;
      }
      // A record known to be in flight stays so until the store says otherwise: nobody runs it because the store is away.
      const verdict: Verdict =
        claim === undefined ? { kind: "wait" } : judge(claim, attempt.fingerprint, attempt.policy);
      if (verdict.kind === "wait") {
        if (claim?.kind === "held") after = claim.flight;
        flight.watch(() => {
          if (this.#flights.get(place) === flight) this.#flights.delete(place);
          alarm.ring();
        });
        await alarm.wait(claim?.kind === "held" ? Math.min(lookMs, claim.remainingMs + 5) : lookMs);
        if (flight.isEmpty) return;
        lookMs = Math.min(lookMs * 2, lastLookMs);
      } else if (claim?.kind === "won" && claim.taken === null && attempt.mustExist) {
        // Its record went between the look and the claim, or was released: the key is too old to begin another.
        this.#withdrawals.add(lease, attempt.policy);
        for (const client of this.#over(flight, place)) client.reply(tooOld);
        return;
      } else if (claim?.kind === "won") {
        const askedAtMs = flight.isEmpty ? undefined : await this.#executions.askedFor(look, attempt);
        // It may have been abandoned meanwhile.
        if (askedAtMs === undefined || flight.isEmpty) {
          await this.#takeBack(lease, attempt);
          if (flight.isEmpty) return;
        } else {
          alarm.close();
          await this.#run(flight, place, { ...look, askedAtMs }, verdict.kind === "probe");
          return;
        }
      } else {
        const late = flight.phase === "watching";
        for (const client of this.#over(flight, place)) client.reply(answerOf(verdict, late));
        return;
      }
    }
  }

  /** Before the record is claimed again: else that claim meets this one, and is answered with a doubt that is none. */
  async #takeBack(lease: Lease, attempt: Attempt): Promise<void> {
    try {
      await this.store.withdraw(lease);
    } catch {
      this.#withdrawals.add(lease, attempt.policy);
    }
  }

  /** `undefined`: the store did not answer. */
  #ask(attempt: Attempt, lease: Lease, after: FlightId | undefined): Promise<Claim | undefined> {
    const { policy, route, fingerprint, keyHash } = attempt;
    const request = {
      lease,
      fingerprint,
      keyHash,
      leaseMs: policy.leaseMs,
      openRetentionMs: policy.inDoubtRetentionMs,
      mayTake: policy.inDoubt !== "hold" && policy.mode === "enforce",
      after,
      route: route.name,
      namespace: policy.namespace,
      trace: attempt.trace,
    };
    this.#claims += 1;
    return this.store.claim(request).then(
      (claim) => {
        this.#claims -= 1;
        if ((claim.kind === "inDoubt" || claim.kind === "won") && claim.expired === true) {
          this.hub.emit("inDoubt", { ...aboutOf(attempt), cause: "lease_expired" });
        }
        return claim;
      },
      (error: unknown) => {
        this.#claims -= 1;
        if (!(error instanceof StoreUnavailableError) || error.mayHaveRun) this.#withdrawals.add(lease, policy);
        if (error instanceof StoreUnavailableError) return undefined;
        throw error;
      },
    );
  }

  async #run(flight: Flight, place: string, look: Look, mustProbe: boolean): Promise<void> {
    flight.run();
    const { first } = flight;
    const begun = (response: StreamedResponse) => {
      if (flight.release(first)) first.reply({ kind: "stream", response, result: "executed" });
      else response.body.readOn();
    };
    const ended = await this.#executions.run(first.attempt, first.work, wonBy(look), mustProbe, begun);
    const { outcome, landing, isStored } = ended;
    const remainingMs = isStored ? first.attempt.policy.retentionMs : null;
    for (const client of this.#over(flight, place)) {
      const isOwn = client === first && outcome !== undefined;
      client.reply(
        isOwn
          ? ownAnswer(outcome, landing, "executed", remainingMs)
          : repeated(landing, outcome ? "shared" : "replayed", remainingMs),
      );
    }
  }

  /** `mode: observe`: forwards whatever the record says, and counts what would have been done instead. */
  async #observe(client: Client): Promise<void> {
    this.#underWay += 1;
    try {
      await this.#watchOne(client);
    } catch (error) {
      this.#failed(client.attempt, error, [client], true);
    } finally {
      this.#underWay -= 1;
    }
  }

  async #watchOne(client: Client): Promise<void> {
    const { attempt, work } = client;
    const lease = newLease(attempt.key);
    const askedAtMs = performance.now();
    const claim = await this.#ask(attempt, lease, undefined);
    if (this.#isAbandoned) {
      if (claim?.kind === "won") this.#withdrawals.add(lease, attempt.policy);
      client.reply(tooLate);
      return;
    }
    if (claim?.kind === "won") {
      const won: Won = { lease, askedAtMs, taken: null };
      let isReplied = false;
      const begun = (response: StreamedResponse) => {
        isReplied = true;
        client.reply({ kind: "stream", response, result: "executed" });
      };
      const { outcome, landing } = await this.#executions.run(attempt, work, won, false, begun);
      if (outcome !== undefined && !isReplied) client.reply(ownAnswer(outcome, landing, "executed"));
      return;
    }
    if (claim !== undefined) {
      const verdict = judge(claim, attempt.fingerprint, attempt.policy);
      this.hub.emit("observed", { route: attempt.route.name, would: wouldHave(verdict) });
    }
    client.reply(ownAnswer(await work.run(always), undefined, claim === undefined ? "bypassed" : "unprotected"));
  }

  #over(flight: Flight, place: string): Client[] {
    if (this.#flights.get(place) === flight) this.#flights.delete(place);
    return flight.dismiss();
  }

  #failed(attempt: Attempt, error: unknown, clients: Client[], wasRunning: boolean): void {
    this.hub.emit("fault", { what: "the gateway failed", ...aboutOf(attempt), error: error as Error });
    const detail = `The gateway failed while it handled this request. ${
      wasRunning ? "Nobody can know whether it was carried out." : "It was not sent anywhere."
    }`;
    for (const client of clients)
      client.reply({ kind: "problem", problem: { code: "internal", detail }, result: "error" });
  }
}

/** To whoever comes, or is not sent yet, when a drain is over. */
const tooLate: Answer = { kind: "problem", problem: inProgress, result: "in_progress" };

/** To a key older than `key.maxAge` of which nothing is known (any more). */
const tooOld: Answer = { kind: "problem", problem: keyExpired, result: "rejected" };

function moment(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 10));
}

/** What the store said, and what it was asked with. */
interface Look {
  readonly lease: Lease;
  readonly askedAtMs: number;
  readonly claim: Claim | undefined;
}

function wonBy({ lease, askedAtMs, claim }: Look): Won {
  return { lease, askedAtMs, taken: claim?.kind === "won" ? claim.taken : null };
}

/** What everybody gets who asked for a record that somebody else has ended. */
function answerOf(verdict: Verdict, waited: boolean): Answer {
  switch (verdict.kind) {
    case "replay": {
      const landing: Landing = { kind: "response", response: verdict.response };
      const { remainingMs, ageMs } = verdict;
      return waited ? repeated(landing, "shared", remainingMs) : repeated(landing, "replayed", remainingMs, ageMs);
    }
    case "share":
      return repeated(verdict.landing, "shared", null);
    case "reject":
      return { kind: "problem", problem: verdict.problem, result: verdict.result };
    default:
      throw new Error(`a verdict to ${verdict.kind} is no answer`);
  }
}
