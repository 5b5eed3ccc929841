// The scenes of the demo. Each sends real requests to real processes and says what must come of it.

import { pay } from "./client.mjs";
import { row, scene, why } from "./screen.mjs";

const copies = 50;

/** Counts what did not come out as it must. */
export class Judge {
  checks = 0;
  failures = 0;

  constructor(stage) {
    this.stage = stage;
  }

  /**
   * Prints a row. `expected` is a list of [what, actual, wanted]; how many rows this payment has in the ledger by now,
   * `wanted`, is checked as well. `before`: the rows of earlier payments.
   */
  async step({ sent, back, before, wanted = 1, expected }) {
    const rows = (await this.stage.rows()) - before;
    const facts = [["rows in the ledger", rows, wanted], ...expected];
    const wrong = facts
      .filter(([, actual, expectation]) => actual !== expectation)
      .map(([what, actual, expectation]) => `expected ${what}: ${expectation}, but it was ${actual}`);
    this.checks += facts.length;
    this.failures += wrong.length;
    row({ sent, back, ledger: rows === 1 ? "1 row" : `${rows} rows`, wrong });
  }
}

const atOnce = (origin, options) => Promise.all(Array.from({ length: copies }, () => pay(origin, options)));
const count = (answers, test) => answers.filter(test).length;
const different = (answers) => new Set(answers.map((answer) => answer.text)).size;
const told = ({ status, code, error, replayed }) =>
  error ?? `${status}${code ? ` ${code}` : ""}${replayed ? ", replayed" : ""}`;

/** Resolves when the ledger has one row more. */
async function paid(stage, before) {
  for (let turn = 0; turn < 500 && (await stage.rows()) === before; turn++) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

export async function withoutGateway(judge) {
  const { stage } = judge;
  scene(0, "Straight to the API, as it is today");
  const before = await stage.rows();
  const answers = await atOnce(stage.ledgerUrl, { path: "/payments?delay=300" });
  await judge.step({
    sent: `${copies} × POST /payments, all at once`,
    back: `${count(answers, ({ status }) => status === 201)} × 201, ${different(answers)} payments`,
    before,
    wanted: copies,
    expected: [["different answers", different(answers), copies]],
  });
  why("Each retry of an impatient client is one more payment.");
}

export async function duplicates(judge) {
  const { stage } = judge;
  scene(1, "The same through the gateway, under one key");
  const request = { key: "order-1001", path: "/payments?delay=300" };
  const before = await stage.rows();
  const answers = await atOnce(stage.url, request);
  const last = Math.max(...answers.map(({ ms }) => ms));
  await judge.step({
    sent: `${copies} × POST /payments, all at once\nIdempotency-Key: ${request.key}`,
    back: `${count(answers, ({ status }) => status === 201)} × 201, ${different(answers) === 1 ? "all bodies equal" : `${different(answers)} different bodies`}\n1 executed, ${count(answers, ({ replayed }) => replayed)} replayed`,
    before,
    expected: [
      ["answers with status 201", count(answers, ({ status }) => status === 201), copies],
      ["different bodies", different(answers), 1],
      ["answers marked as replayed", count(answers, ({ replayed }) => replayed), copies - 1],
    ],
  });
  why(`One payment of 300 ms, everybody else waited for it: the last answer came after ${last} ms.`);
  const again = await pay(stage.url, request);
  await judge.step({
    sent: "once more, later",
    back: `${told(again)}, after ${again.ms} ms`,
    before,
    expected: [
      ["status", again.status, 201],
      ["marked as replayed", again.replayed, true],
      ["same body as before", again.text === answers[0].text, true],
    ],
  });
  why("The stored answer, byte for byte. The API was not asked.");
}

export async function hangUp(judge) {
  const { stage } = judge;
  scene(2, "A client that hangs up, and retries");
  const request = { key: "order-1002", path: "/payments?delay=600" };
  const before = await stage.rows();
  const first = await pay(stage.url, { ...request, hangUp: paid(stage, before) });
  await judge.step({
    sent: `POST /payments, hangs up while the API pays\nIdempotency-Key: ${request.key}`,
    back: "nothing: it did not wait",
    before,
    expected: [["the first client", first.error, "hung up"]],
  });
  const retry = await pay(stage.url, request);
  await judge.step({
    sent: "the retry, at once",
    back: `${told(retry)}, after ${retry.ms} ms`,
    before,
    expected: [
      ["status", retry.status, 201],
      ["marked as replayed", retry.replayed, true],
    ],
  });
  why("The call to the API belongs to no connection: it went on, and the retry joined it.");
}

/** The operator finds the one record in doubt, writes down what happened, and the next retry is told so. */
async function resolveDoubt(judge, before, request) {
  const { stage } = judge;
  const { records } = await (await fetch(`${stage.adminUrl}/v1/records?state=in_doubt`)).json();
  const ledger = await (await fetch(`${stage.ledgerUrl}/payments`)).json();
  const body = JSON.stringify(ledger.at(-1));
  const id = records[0]?.id ?? "none";
  const done = ["--done", "--status", "201", "--header", "Content-Type: application/json", "--body", body];
  const printed = await stage.command("records", "resolve", id, ...done, "--admin", stage.adminUrl);
  await judge.step({
    sent: `operator: records resolve ${id.slice(0, 8)} --done\n--status 201 --body '{"id":"${ledger.at(-1).id}",…}'`,
    back: printed.trim().split("\n").at(-1).replace(id, id.slice(0, 8)),
    before,
    expected: [["records in doubt", records.length, 1]],
  });
  const retry = await pay(stage.url, request);
  await judge.step({
    sent: "the retry",
    back: `${told(retry)}: ${JSON.parse(retry.text).id}`,
    before,
    expected: [
      ["status", retry.status, 201],
      ["marked as replayed", retry.replayed, true],
      ["the operator's body", retry.text === body, true],
    ],
  });
}

export async function cutOff(judge) {
  const { stage } = judge;
  scene(3, "The API pays, then the connection breaks before it has answered");
  const request = { key: "order-1003", path: "/payments?cut=after" };
  const before = await stage.rows();
  const first = await pay(stage.url, request);
  await judge.step({
    sent: `POST /payments\nIdempotency-Key: ${request.key}`,
    back: told(first),
    before,
    expected: [
      ["status", first.status, 502],
      ["code", first.code, "upstream-reset"],
    ],
  });
  const retry = await pay(stage.url, request);
  await judge.step({
    sent: "the retry",
    back: told(retry),
    before,
    expected: [
      ["status", retry.status, 409],
      ["code", retry.code, "outcome-unknown"],
    ],
  });
  why("Nobody here can know whether it was paid. Sending it again might pay twice: it is held for a decision.");
  await resolveDoubt(judge, before, request);
  why("The operator looked into the ledger and told the gateway. From now on that is the answer.");
}

export async function keyReused(judge) {
  const { stage } = judge;
  scene(4, "A key used again for another amount");
  const key = "order-1004";
  const before = await stage.rows();
  const first = await pay(stage.url, { key, amount: 1250 });
  const other = await pay(stage.url, { key, amount: 999_900 });
  await judge.step({
    sent: `POST /payments {"amount": 1250}\nIdempotency-Key: ${key}`,
    back: told(first),
    before,
    expected: [["status", first.status, 201]],
  });
  await judge.step({
    sent: `POST /payments {"amount": 999900}\nIdempotency-Key: ${key}`,
    back: told(other),
    before,
    expected: [
      ["status", other.status, 422],
      ["code", other.code, "key-reused"],
    ],
  });
  why("Another request is not a retry. It is refused, and the first payment and its answer stay as they were.");
}

export async function killed(judge) {
  const { stage } = judge;
  scene(5, "kill -9 of the gateway in the middle of a payment");
  const request = { key: "order-1005", path: "/payments?delay=1500" };
  const before = await stage.rows();
  const first = pay(stage.url, request);
  await paid(stage, before);
  await stage.killGateway();
  const lost = await first;
  await judge.step({
    sent: `POST /payments; kill -9 while the API pays\nIdempotency-Key: ${request.key}`,
    back: `${lost.error ?? told(lost)}: the gateway is gone`,
    before,
    expected: [["the first client got an answer", lost.status, undefined]],
  });
  await stage.startGateway();
  const retry = await pay(stage.url, request);
  await judge.step({
    sent: "gateway started again; the retry",
    back: `${told(retry)}, after ${retry.ms} ms`,
    before,
    expected: [
      ["status", retry.status, 409],
      ["code", retry.code, "outcome-unknown"],
    ],
  });
  why(
    "The claim was on disk before the payment was sent. When its lease of 2 s ran out: in doubt, and not paid twice.",
  );
  await resolveDoubt(judge, before, request);
}
