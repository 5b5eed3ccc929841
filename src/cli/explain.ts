import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import type { Config } from "../config/config.js";
import { formatMistake } from "../config/findings.js";
import { loadConfig } from "../config/load.js";
import { problems } from "../problem.js";
import { decodeBody, maxInflation, tooLargeDecoded } from "../proxy/decode.js";
import { admit, type Guarded, identify, needsDecoding, type Received, type Refused } from "../proxy/gate.js";
import type { Framable } from "../rules/frame.js";
import { matchView, policyView, sourceText } from "../rules/policy-view.js";
import { compileRouter } from "../rules/route.js";
import type { Io } from "./io.js";

const usage = `usage: idempotency-gateway explain --config FILE [-X METHOD] [-H 'Name: value']… [-d BODY|@FILE] [--json] URL

Says which route a request takes, its key and where it was found, its scope, record id and fingerprint, and the policy in
force. Nothing is sent.
`;

class UsageError extends Error {}

/** The number is the exit code. */
export async function explain(args: readonly string[], io: Io): Promise<number> {
  try {
    const asked = parseExplainArgs(args, io);
    if (asked === undefined) {
      io.stdout.write(usage);
      return 0;
    }
    const loaded = loadConfig(asked.file, io.env, { cwd: io.cwd });
    if (loaded.kind !== "ok") {
      const lines = loaded.kind === "bad" ? loaded.mistakes.map(formatMistake) : [`explain: ${loaded.message}`];
      for (const line of lines) io.stderr.write(`${line}\n`);
      return 1;
    }
    const explanation = await explainRequest(loaded.config, asked.request, asked.body);
    io.stdout.write(asked.isJson ? `${JSON.stringify(explanation, null, 2)}\n` : textOf(explanation));
    return 0;
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    io.stderr.write(`explain: ${error.message}\n\n${usage}`);
    return 2;
  }
}

interface Explanation {
  /** `forwarded`: unprotected. `protected`: claimed and sent, unless its record says otherwise. */
  readonly outcome: "refused" | "forwarded" | "protected";
  readonly route: string | null;
  readonly problem?: { readonly status: number; readonly code: string; readonly detail: string };
  readonly upstream?: string;
  readonly match?: ReturnType<typeof matchView>;
  readonly key?: string;
  /** Where the key was found. */
  readonly keyFrom?: readonly string[];
  /** What each source of the scope has: whose key it is. */
  readonly scope?: readonly Framable[];
  readonly id?: string;
  readonly fingerprint?: string;
  readonly policy?: ReturnType<typeof policyView>;
}

async function explainRequest(config: Config, request: Received, body: Buffer): Promise<Explanation> {
  // No store is asked, so no request has passed here before.
  const admission = admit({ router: compileRouter(config.routes), pseudonym: "" }, request);
  if (admission.kind === "own") return { outcome: "refused", route: null };
  const identified = admission.kind === "guarded" ? await identifyRead(admission, body, config) : admission;
  if (identified.kind === "refused") return refusedExplanation(identified);
  const { route } = identified.kind === "open" ? identified : identified.attempt;
  const about = {
    route: route.name,
    upstream: route.upstream.origin,
    match: matchView(route),
    ...(route.policy === null ? {} : { policy: policyView(route.policy) }),
  };
  if (identified.kind === "open") return { outcome: "forwarded", ...about };
  const { key, fingerprint } = identified.attempt;
  const keyFrom = identified.keySources.map(sourceText);
  const scope = identified.scope.values;
  return { outcome: "protected", ...about, key: identified.rawKey, keyFrom, scope, id: key, fingerprint };
}

/** As the protected lane reads the body. */
async function identifyRead(guarded: Guarded, body: Buffer, { server }: Config): Promise<ReturnType<typeof identify>> {
  const limitBytes = maxInflation * server.limits.requestBodyBytes;
  if (!needsDecoding(guarded)) return identify(guarded, body, body);
  const decoded = await decodeBody(guarded.head.rawHeaders, body, limitBytes);
  if (decoded.kind !== "tooLarge")
    return identify(guarded, body, decoded.kind === "decoded" ? decoded.body : undefined);
  const { route, head, known } = guarded;
  return { kind: "refused", problem: tooLargeDecoded(limitBytes), route, head, rawKey: known?.key.raw };
}

function refusedExplanation({ route, problem, rawKey }: Refused): Explanation {
  const { status } = problems[problem.code];
  return {
    outcome: route?.policy?.mode === "observe" ? "forwarded" : "refused",
    route: route?.name ?? null,
    problem: { status, code: problem.code, detail: problem.detail },
    ...(rawKey === undefined ? {} : { key: rawKey }),
    ...(route?.policy ? { policy: policyView(route.policy) } : {}),
  };
}

function textOf(explanation: Explanation): string {
  const { problem, match, policy, outcome } = explanation;
  const means = {
    refused: "answered by the gateway, nothing is sent",
    forwarded: "forwarded without protection",
    protected: "sent at most once, its response stored and replayed",
  };
  const rows: [string, string | undefined][] = [
    ["route", explanation.route ?? "none"],
    ["outcome", `${outcome}: ${means[outcome]}`],
    ["problem", problem && `${problem.status} ${problem.code}: ${problem.detail}`],
    ["matches", match && `${match.methods?.join(", ") ?? "every method"} ${match.host ?? ""}${match.path}`],
    ["upstream", explanation.upstream],
    ["key", explanation.key],
    ["key from", explanation.keyFrom?.join(", ")],
    ["scope", explanation.scope && JSON.stringify(explanation.scope)],
    ["id", explanation.id],
    ["fingerprint", explanation.fingerprint],
    ...Object.entries(policy ?? {}).map(([name, value]): [string, string] => [`policy.${name}`, JSON.stringify(value)]),
  ];
  const shown = rows.filter((row): row is [string, string] => row[1] !== undefined);
  const width = Math.max(...shown.map(([name]) => name.length)) + 2;
  return shown.map(([name, value]) => `${name.padEnd(width)}${value}\n`).join("");
}

interface Asked {
  readonly file: string;
  readonly request: Received;
  readonly body: Buffer;
  readonly isJson: boolean;
}

/** `undefined`: help is asked for. */
function parseExplainArgs(args: readonly string[], io: Io): Asked | undefined {
  const { values, positionals } = parsed(args);
  if (values.help === true) return undefined;
  if (values.config === undefined) throw new UsageError("--config FILE is required");
  const [url, ...more] = positionals;
  if (url === undefined || more.length > 0) throw new UsageError("give one URL");
  const { host, target } = targetOf(url);
  const rawHeaders = (values.header ?? []).flatMap(headerOf);
  const isNamed = (name: string) => rawHeaders.some((text, i) => i % 2 === 0 && text.toLowerCase() === name);
  if (!isNamed("host")) rawHeaders.unshift("Host", host);
  const request: Received = {
    method: values.request ?? (values.data === undefined ? "GET" : "POST"),
    url: target,
    httpVersion: "1.1",
    rawHeaders,
  };
  return { file: values.config, request, body: bodyOf(values.data, io), isJson: values.json === true };
}

function parsed(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        config: { type: "string", short: "c" },
        request: { type: "string", short: "X" },
        header: { type: "string", short: "H", multiple: true },
        data: { type: "string", short: "d" },
        json: { type: "boolean" },
        help: { type: "boolean", short: "h" },
      },
    });
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

/** The target is taken as it is written, not as a URL parser would tidy it up. */
function targetOf(url: string): { host: string; target: string } {
  const absolute = /^https?:\/\/([^/?#]+)(.*)$/i.exec(url);
  const target = absolute === null ? url : (absolute[2] as string);
  return { host: absolute?.[1] ?? "localhost", target: target.startsWith("/") ? target : `/${target}` };
}

function headerOf(text: string): [string, string] {
  const colon = text.indexOf(":");
  if (colon <= 0) throw new UsageError(`-H takes 'Name: value', got ${JSON.stringify(text)}`);
  return [text.slice(0, colon).trim(), text.slice(colon + 1).trim()];
}

function bodyOf(data: string | undefined, io: Io): Buffer {
  if (data === undefined) return Buffer.alloc(0);
  if (!data.startsWith("@")) return Buffer.from(data);
  try {
    return readFileSync(resolve(io.cwd, data.slice(1)));
  } catch (error) {
    throw new UsageError(`cannot read ${data.slice(1)}: ${(error as Error).message}`);
  }
}
