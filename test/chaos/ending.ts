import { recordKey } from "../../src/rules/key.js";
import { post } from "../e2e/client.js";
import type { Gateway, ShownRecord } from "../e2e/harness.js";
import { seen } from "./answer-seen.js";
import { type AnswerSeen, type Dispatch, type Ending, type History, releaseStatuses, type Variant } from "./history.js";
import { type Rig, sleep } from "./rig.js";

/** Looks at the record, asks once more as a client would, and decides as an operator would what is still in doubt. */
export async function endingOf(rig: Rig, history: History): Promise<Ending> {
  const gateway = rig.gateways[history.dispatches.length % rig.gateways.length] as Gateway;
  const atMs = rig.now();
  const record = await recordOf(gateway, history);
  const state = record?.state ?? "absent";
  const cause = record?.cause ?? null;
  const dispatches = history.dispatches.length;
  const retry = await askLast(gateway, history);
  if (retry?.code !== "outcome-unknown") return { atMs, state, cause, dispatches, retry, resolved: undefined };
  return { atMs, state, cause, dispatches, retry, resolved: await resolve(rig, gateway, history) };
}

/** A store that is starved by its machine answers a little later: its absence is no ending. */
async function patiently<T>(ask: () => Promise<T>, isAnswer: (answer: T) => boolean): Promise<T> {
  let answer = await ask();
  for (let turn = 0; turn < 40 && !isAnswer(answer); turn++) {
    await sleep(250);
    answer = await ask();
  }
  return answer;
}

/** Of the records of one idempotency key that of this tenant. */
async function recordOf(gateway: Gateway, { route, sentKey, tenant }: History): Promise<ShownRecord | undefined> {
  const id = recordKey(route, [[tenant]], [sentKey]);
  const path = `/v1/records?key=${encodeURIComponent(sentKey)}`;
  const { json } = await patiently(
    () => gateway.admin("GET", path),
    ({ status }) => status === 200,
  );
  return (json as { records: ShownRecord[] }).records.find((record) => record.id === id);
}

/** With the body the record belongs to: that of the last dispatch, unless that was released or there was none. */
async function askLast(gateway: Gateway, history: History): Promise<AnswerSeen | undefined> {
  const last = history.dispatches.at(-1);
  const isBound = last !== undefined && !releaseStatuses.has(last.status);
  const variants: Variant[] = isBound ? [last.variant] : ["A", "B"];
  let answer: AnswerSeen | undefined;
  for (const variant of variants) {
    const request = {
      key: history.sentKey,
      headers: { authorization: history.tenant },
      body: JSON.stringify({ variant }),
    };
    answer = await patiently(
      () => post(`${gateway.url}/${history.route}`, request).then(seen, () => undefined),
      (each) => each?.code !== "store-unavailable",
    );
    if (answer?.code !== "key-reused") return answer;
  }
  return answer;
}

async function resolve(rig: Rig, gateway: Gateway, history: History): Promise<Ending["resolved"]> {
  const done = history.dispatches.find(isDone);
  // An operator's answer may be no larger than what the route stores, either.
  if (done?.behaviour === "large") return undefined;
  const record = await recordOf(gateway, history);
  const atMs = rig.now();
  const outcome = done === undefined ? "not-done" : "done";
  const response = done && {
    status: done.status,
    headers: { "Content-Type": "application/json", "X-Dispatch": String(done.n) },
    body: done.body,
  };
  const path = `/v1/records/${record?.id}/resolve`;
  const { status, json } = await patiently(
    () => gateway.admin("POST", path, { outcome, ...(response ? { response } : {}) }),
    (answer) => answer.status !== 503,
  );
  // A decision whose answer was lost, or an owner that was very late: there is nothing to decide any more.
  if (status === 404 || status === 409) return undefined;
  if (status !== 200) throw new Error(`${history.key} could not be resolved: ${status} ${JSON.stringify(json)}`);
  return { outcome, atMs, retry: await askLast(gateway, history) };
}

function isDone({ isExecuted, status }: Dispatch): boolean {
  return isExecuted && !releaseStatuses.has(status);
}
