import { type ParseArgsConfig, parseArgs } from "node:util";

export type RecordsCommand = (
  | {
      readonly action: "list";
      readonly filters: Readonly<Record<string, string>>;
      readonly isAll: boolean;
    }
  | { readonly action: "backup"; readonly file: string }
  | { readonly action: "get"; readonly id: string; readonly withBody: boolean }
  | { readonly action: "delete"; readonly id: string; readonly isSure: boolean; readonly reason: string | undefined }
  | {
      readonly action: "resolve";
      readonly id: string;
      readonly done: DoneOptions | null;
      readonly reason: string | undefined;
    }
) & { readonly common: CommonOptions };

export interface CommonOptions {
  readonly admin?: string | undefined;
  readonly config?: string | undefined;
  readonly token?: string | undefined;
  readonly json?: boolean | undefined;
}

/** What is to be replayed, as it was written. */
export interface DoneOptions {
  readonly status: number;
  readonly headers: readonly [name: string, value: string][];
  /** `@FILE` for the bytes of a file. */
  readonly body: string;
}

export class UsageError extends Error {
  override readonly name = "UsageError";
}

export const recordsUsage = `usage: idempotency-gateway records COMMAND [--admin URL | --config FILE] [--token TOKEN] [--json]

  list     [--route NAME] [--state STATE] [--key KEY] [--limit N] [--all]
  get      ID [--body]
  delete   ID [--yes] [--reason TEXT]
  resolve  ID --not-done [--reason TEXT]
  resolve  ID --done --status N [--header 'Name: value']... [--body TEXT|@FILE] [--reason TEXT]
  backup   FILE --config FILE

STATE is in_flight, completed, in_doubt or not_replayable. ID may be shortened to 8 digits or more while it is unique.
backup copies the embedded store to a new FILE, on the host of its folder, while gateways go on. A reason is written to the gateway's log beside who gave it. The admin port is the one of --config, by default http://127.0.0.1:9090; the token may be in ADMIN_TOKEN as well.
`;

type Options = NonNullable<ParseArgsConfig["options"]>;

const common = {
  admin: { type: "string" },
  config: { type: "string", short: "c" },
  token: { type: "string" },
  json: { type: "boolean" },
} as const satisfies Options;

export function parseRecordsArgs(args: readonly string[]): RecordsCommand {
  const [action, ...rest] = args;
  switch (action) {
    case "list":
      return parseList(rest);
    case "get": {
      const { values, id } = parse(rest, { body: { type: "boolean" } });
      return { action, id, withBody: values.body === true, common: values };
    }
    case "delete": {
      const { values, id } = parse(rest, { yes: { type: "boolean", short: "y" }, reason: { type: "string" } });
      return { action, id, isSure: values.yes === true, reason: values.reason, common: values };
    }
    case "resolve":
      return parseResolve(rest);
    case "backup": {
      const { values, positionals } = parsed(rest, { config: common.config });
      const [file, ...more] = positionals;
      if (file === undefined || more.length > 0) throw new UsageError("one file to write to is needed");
      if (values.config === undefined) throw new UsageError("--config FILE is missing");
      return { action: "backup", file, common: values };
    }
    default:
      throw new UsageError(action === undefined ? "a command is missing" : `there is no command "records ${action}"`);
  }
}

function parseList(args: string[]): RecordsCommand {
  const text = { type: "string" } as const;
  const options = { ...common, route: text, state: text, key: text, limit: text, all: { type: "boolean" } } as const;
  const { values, positionals } = parsed(args, options);
  if (positionals.length > 0) throw new UsageError(`"records list" takes no ${positionals[0]}`);
  const { route, state, key, limit } = values;
  const given = Object.entries({ route, state, key, limit }).filter((entry): entry is [string, string] => !!entry[1]);
  return { action: "list", filters: Object.fromEntries(given), isAll: values.all === true, common: values };
}

function parseResolve(args: string[]): RecordsCommand {
  const { values, id } = parse(args, {
    done: { type: "boolean" },
    "not-done": { type: "boolean" },
    status: { type: "string" },
    header: { type: "string", multiple: true, short: "H" },
    body: { type: "string", short: "d" },
    reason: { type: "string" },
  });
  if (values.done === values["not-done"]) throw new UsageError("say either --done or --not-done");
  const { status, header = [], body, reason } = values;
  if (!values.done) {
    if (status ?? body ?? header[0]) throw new UsageError("--status, --header and --body go with --done");
    return { action: "resolve", id, done: null, reason, common: values };
  }
  if (!/^[2-5]\d\d$/.test(status ?? "")) throw new UsageError("--done needs --status, a number from 200 to 599");
  const done = { status: Number(status), headers: header.map(splitHeader), body: body ?? "" };
  return { action: "resolve", id, done, reason, common: values };
}

function splitHeader(text: string): [name: string, value: string] {
  const colon = text.indexOf(":");
  if (colon < 1) throw new UsageError(`--header takes 'Name: value', not ${JSON.stringify(text)}`);
  return [text.slice(0, colon).trim(), text.slice(colon + 1).trim()];
}

function parse<O extends Options>(args: string[], options: O) {
  const { values, positionals } = parsed(args, { ...common, ...options });
  const [id, ...more] = positionals;
  if (id === undefined || more.length > 0) throw new UsageError("one record id is needed");
  if (!/^[\da-f]{8,64}$/i.test(id)) throw new UsageError(`${JSON.stringify(id)} is not 8 to 64 digits of a record id`);
  return { values, id: id.toLowerCase() };
}

function parsed<O extends Options>(args: string[], options: O) {
  try {
    return parseArgs({ args, options, allowPositionals: true, strict: true });
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}
