import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { createInterface } from "node:readline/promises";
import { formatMistake } from "../config/findings.js";
import { loadConfig } from "../config/load.js";
import { backUpStore } from "../store/backup.js";
import { AdminClient, AdminError } from "./admin-client.js";
import { findAdmin } from "./find-admin.js";
import { type DoneOptions, parseRecordsArgs, type RecordsCommand, recordsUsage, UsageError } from "./records-args.js";
import { recordTable, recordText, type ShownRecord } from "./records-text.js";

export interface RecordsIo {
  readonly stdout: { write(text: string): unknown };
  readonly stderr: { write(text: string): unknown };
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** Asked before a record is deleted; by default at the terminal, and not at all where there is none. */
  readonly confirm?: (question: string) => Promise<boolean>;
}

/** Works on the records of a running gateway. The number is the exit code. */
export async function records(args: readonly string[], io: RecordsIo): Promise<number> {
  if (args.some((arg) => arg === "--help" || arg === "-h")) {
    io.stdout.write(recordsUsage);
    return 0;
  }
  try {
    const command = parseRecordsArgs(args);
    if (command.action === "backup") return await backUp(command.common.config ?? "", command.file, io);
    const client = new AdminClient(await findAdmin(command.common, io));
    return await perform(command, client, io);
  } catch (error) {
    if (error instanceof UsageError) {
      io.stderr.write(`records: ${error.message}\n\n${recordsUsage}`);
      return 2;
    }
    const isExpected = error instanceof AdminError;
    io.stderr.write(`records: ${isExpected ? "" : "a fault inside: "}${(error as Error).message}\n`);
    return isExpected ? 1 : 70;
  }
}

/** Without the admin port: read access to the folder is enough, and the copy lies where this command runs. */
async function backUp(configFile: string, file: string, io: RecordsIo): Promise<number> {
  const loaded = loadConfig(configFile, io.env, { cwd: io.cwd });
  if (loaded.kind === "unreadable") throw new AdminError(loaded.message);
  if (loaded.kind === "bad") throw new AdminError(formatMistake(loaded.mistakes[0]!));
  const target = resolve(io.cwd, file);
  await backUpStore(loaded.config.store, target).catch((error: Error) => {
    throw new AdminError(error.message);
  });
  io.stdout.write(`wrote ${target}\n`);
  return 0;
}

async function perform(
  command: Exclude<RecordsCommand, { action: "backup" }>,
  client: AdminClient,
  io: RecordsIo,
): Promise<number> {
  const isJson = command.common.json === true;
  const show = (value: unknown, text: string) =>
    void io.stdout.write(isJson ? `${JSON.stringify(value, null, 2)}\n` : text);
  if (command.action === "list") {
    const page = await list(client, command.filters, command.isAll);
    show(page, recordTable(page.records, Date.now()));
    if (!isJson && page.cursor !== null) io.stderr.write("there are more: add --all, or a higher --limit\n");
    return 0;
  }
  const id = await wholeId(client, command.id);
  const path = `v1/records/${id}`;
  switch (command.action) {
    case "get": {
      const record = (await client.call("GET", command.withBody ? `${path}?body=true` : path)) as ShownRecord;
      show(record, recordText(record));
      return 0;
    }
    case "delete": {
      if (!command.isSure && !(await (io.confirm ?? askAtTerminal)(deleteQuestion(id)))) {
        throw new AdminError("nothing was deleted");
      }
      await client.call("DELETE", path, command.reason === undefined ? undefined : { reason: command.reason });
      show({ id, deleted: true }, `deleted ${id}\n`);
      return 0;
    }
    case "resolve": {
      const { done, reason } = command;
      const body = done === null ? { outcome: "not-done" } : { outcome: "done", response: await responseOf(done, io) };
      const answer = await client.call("POST", `${path}/resolve`, { ...body, reason });
      show(answer, `resolved ${id} as ${body.outcome}\n`);
      return 0;
    }
  }
}

interface Page {
  readonly records: ShownRecord[];
  readonly cursor: string | null;
}

async function list(client: AdminClient, filters: Readonly<Record<string, string>>, isAll: boolean): Promise<Page> {
  const records: ShownRecord[] = [];
  let cursor: string | null = null;
  do {
    const query = new URLSearchParams({ ...filters, ...(cursor === null ? {} : { cursor }) });
    const page = (await client.call("GET", `v1/records?${query}`)) as Page;
    records.push(...page.records);
    cursor = page.cursor;
  } while (isAll && cursor !== null);
  return { records, cursor };
}

/** From its first digits, if they are those of one record only. */
async function wholeId(client: AdminClient, digits: string): Promise<string> {
  if (digits.length === 64) return digits;
  const { records } = await list(client, { id: digits }, true);
  if (records.length === 0) throw new AdminError(`no record's id begins with ${digits}`);
  if (records.length > 1)
    throw new AdminError(`the ids of ${records.length} records begin with ${digits}; give more digits`);
  return records[0]!.id;
}

async function responseOf({ status, headers, body }: DoneOptions, { cwd }: RecordsIo): Promise<object> {
  const bytes = body.startsWith("@") ? await bytesOf(resolve(cwd, body.slice(1))) : Buffer.from(body);
  return { status, headers, body: bytes.toString("base64"), bodyEncoding: "base64" };
}

async function bytesOf(file: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (error) {
    throw new AdminError((error as Error).message);
  }
}

function deleteQuestion(id: string): string {
  return `Forget ${id}? The next request with its key will be carried out again. [y/N] `;
}

async function askAtTerminal(question: string): Promise<boolean> {
  if (!process.stdin.isTTY) return true;
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await terminal.question(question)).trim());
  } finally {
    terminal.close();
  }
}
