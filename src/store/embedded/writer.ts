import { mkdirSync } from "node:fs";
import { parentPort, receiveMessageOnPort, workerData } from "node:worker_threads";
import { AnswerWriter, kind } from "./answer.js";
import { code, at as within } from "./command.js";
import { Ledger } from "./ledger.js";
import type { ListJob, Notice, WriterStart } from "./messages.js";
import { payloadAt, viewOf } from "./record.js";
import { Ring } from "./ring.js";
import { carryOut, type Order } from "./transitions.js";

const gatherMs = 2;
const batchCommands = 2048;
const start = workerData as WriterStart;
const port = parentPort!;
const commands = new Ring(start.commands);
const answers = new Ring(start.answers);
const answer = new AnswerWriter();

function post(notice: Notice): void {
  port.postMessage(notice);
}

mkdirSync(start.path, { recursive: true, mode: 0o700 });
const ledger = new Ledger(start.path);
post({ kind: "ready" });

let lastStartMs = 0;
let lastBatch = 0;
let isClosing = false;
while (!isClosing) {
  commands.sleep(10_000);
  if (!commands.hasMore) continue;
  if (lastBatch > 1) {
    const waitMs = lastStartMs + gatherMs - performance.now();
    if (waitMs > 0) commands.pause(waitMs);
  }
  lastStartMs = performance.now();
  const nowMs = Date.now() + start.skewMs[0]!;
  const orders: Order[] = [];
  const jobs: ListJob[] = [];
  for (let message = commands.next(); message !== undefined; message = commands.next()) {
    let bytes = commands.bytes;
    let { at, length } = message;
    if (bytes[at] === code.parcel) {
      const parcel = receiveMessageOnPort(port)!.message as Uint8Array;
      bytes = Buffer.from(parcel.buffer);
      [at, length] = [0, bytes.length];
    }
    if (bytes[at] === code.close) isClosing = true;
    else orders.push({ bytes, from: at, to: at + length, nowMs });
    if (bytes[at] === code.list) jobs.push(JSON.parse(bytes.toString("utf8", at + within.names, at + length)));
    if (orders.length >= batchCommands) break;
  }
  lastBatch = orders.length;
  try {
    ledger.transact(() => {
      answer.clear();
      for (const order of orders) {
        const id = order.bytes.toString("latin1", order.from + within.id, order.from + within.id + 32);
        const found = ledger.get(id);
        const change = carryOut(order, found, answer);
        if (change === "gone") ledger.remove(id);
        else if (change !== undefined) ledger.put(change);
      }
    });
  } catch (error) {
    answer.clear();
    const why = Buffer.from((error as Error).message);
    for (const _ of orders) answer.byte(kind.unavailable).byte(0).blob(why, 0, why.length);
  }
  commands.release();
  if (orders.length > 0) {
    const at = answer.length <= answers.largest ? answers.reserve(answer.length) : -1;
    if (at < 0) port.postMessage(Uint8Array.from(answer.bytes));
    else {
      answers.bytes.set(answer.bytes, at);
      answers.publish();
      port.postMessage(answer.length);
    }
  }
  for (const { job, query } of jobs) {
    const records = ledger.all();
    const place = (record: Buffer) =>
      `${String(viewOf(record, nowMs, false)!.createdAtMs).padStart(16, "0")}.${viewOf(record, nowMs, false)!.key}`;
    const rest = records
      .filter((record) => {
        const view = viewOf(record, nowMs, false);
        if (view === undefined || view.expiresAtMs <= nowMs) return false;
        if (query.route !== undefined && query.route !== view.route) return false;
        if (query.state !== undefined && query.state !== view.state) return false;
        if (query.keyHash !== undefined && query.keyHash !== view.keyHash) return false;
        if (query.idPrefix !== undefined && !view.key.startsWith(query.idPrefix)) return false;
        return query.cursor === undefined || place(record) < query.cursor;
      })
      .sort((a, b) => (place(a) < place(b) ? 1 : -1));
    const page = rest.slice(0, query.limit);
    const cursor = rest.length > page.length ? place(page.at(-1)!) : null;
    post({
      kind: "page",
      job,
      heads: page.map((record) => Uint8Array.from(record.subarray(0, payloadAt(record)))),
      cursor,
    });
  }
}
await ledger.close();
port.close();
