import { recordKey } from "../../src/rules/key.js";
import { post } from "../e2e/client.js";
import type { Gateway, ShownRecord } from "../e2e/harness.js";
import { seen } from "./answer-seen.js";
import { type AnswerSeen, type Dispatch, type Ending, type History, releaseStatuses, type Variant } from "./history.js";
import type { Rig } from "./rig.js";

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

/** Of the records of one idempotency key that of this tenant. */
async function recordOf(gateway: Gateway, { route, sentKey, tenant }: History): Promise<ShownRecord | undefined> {
  const id = recordKey(route, [[tenant]], [sentKey]);
  return (await gateway.records(sentKey)).find((record) => record.id === id);
}

/** With the body the record belongs to: that of the last dispatch, unless that was released or there was none. */
async function askLast(gateway: Gateway, history: History): Promise<AnswerSeen | undefined> {
  const last = history.dispatches.at(-1);
  const isBound = last !== undefined && !releaseStatuses.has(last.status);
  const variants: Variant[] = isBound ? [last.variant] : ["A", "B"];
  let answer: AnswerSeen | undefined;
  for (const variant of variants) {
    const reply = post(`${gateway.url}/${history.route}`, {
      key: history.sentKey,
      headers: { authorization: history.tenant },
      body: JSON.stringify({ variant }),
    });
    answer = await reply.then(seen, () => undefined);
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
  const { status, json } = await gateway.admin("POST", path, { outcome, ...(response ? { response } : {}) });
  if (status !== 200) throw new Error(`${history.key} could not be resolved: ${status} ${JSON.stringify(json)}`);
  return { outcome, atMs, retry: await askLast(gateway, history) };
}

function isDone({ isExecuted, status }: Dispatch): boolean {
  return isExecuted && !releaseStatuses.has(status);
}
