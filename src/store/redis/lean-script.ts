import { createHash } from "node:crypto";
import type { Command, Redis } from "ioredis";
import { Deadlines, type Due } from "./deadlines.js";

type Argument = string | number | Buffer;

/**
 * A script as a function, sent by its hash, and whole to a server that has lost it: what ioredis makes of its `scripts`,
 * without what it makes anew for every call. For the two scripts of every request.
 */
export function leanScript<Reply>(
  client: Redis,
  { lua, numberOfKeys }: { readonly lua: string; readonly numberOfKeys: number },
  read: (reply: unknown) => Reply,
): (...args: Argument[]) => Promise<Reply> {
  const hash = createHash("sha1").update(lua).digest("hex");
  const [byHash, whole] = [start("evalsha", hash, numberOfKeys), start("eval", lua, numberOfKeys)];
  return (...args) => {
    return new Promise((resolve, reject) => {
      const count = `*${args.length + 3}\r\n`;
      const body = written(args);
      const send = (begin: string, failed: (error: Error) => void) => {
        const answered = (reply: unknown) => resolve(read(reply));
        client.sendCommand(new ScriptCall(joined(count + begin, body), answered, failed) as unknown as Command);
      };
      send(byHash, (error) => {
        if (error.message.startsWith("NOSCRIPT")) send(whole, reject);
        else reject(error);
      });
    });
  };
}

const settled = Promise.resolve();

/** What ioredis asks of a command that it sends: that, and nothing else of its own class, is here. */
class ScriptCall implements Due {
  dueAtMs = 0;
  before: Due | undefined = undefined;
  after: Due | undefined = undefined;
  readonly name = "evalsha";
  /** Errors carry them, and errors are logged. */
  readonly args: readonly string[] = [];
  /** Only handed on to whoever traces ioredis: answers go to `answered`. */
  readonly promise = settled;
  #deadlines: Deadlines | undefined = undefined;
  #isSettled = false;

  constructor(
    private readonly octets: string | Buffer,
    private readonly answered: (reply: unknown) => void,
    private readonly failed: (error: Error) => void,
  ) {}

  setReplyContext(): void {}

  setTimeout(timeoutMs: number): void {
    // Told again only of a command that is sent again.
    this.#deadlines?.remove(this);
    this.#deadlines = deadlinesOf(timeoutMs + transferMs(this.octets.length));
    this.#deadlines.add(this);
  }

  expire(): void {
    this.reject(new Error("Command timed out"));
  }

  toWritable(): string | Buffer {
    return this.octets;
  }

  resolve(reply: unknown): void {
    if (this.#settle()) this.answered(reply);
  }

  reject(error: Error): void {
    if (this.#settle()) this.failed(error);
  }

  /** A reply may come after its time is over: then it is no news, and above all nothing is sent again for it. */
  #settle(): boolean {
    if (this.#isSettled) return false;
    this.#isSettled = true;
    this.#deadlines?.remove(this);
    return true;
  }
}

/** What is large may be long on its way: a millisecond for each KiB, in steps, so that there are few different timeouts. */
function transferMs(bytes: number): number {
  return Math.floor(bytes / stepBytes) * (stepBytes / 1024);
}

const stepBytes = 256 * 1024;

const allDeadlines = new Map<number, Deadlines>();

/** As many as there are different timeouts: nearly always one. */
function deadlinesOf(timeoutMs: number): Deadlines {
  let deadlines = allDeadlines.get(timeoutMs);
  if (deadlines === undefined) {
    deadlines = new Deadlines(timeoutMs);
    allDeadlines.set(timeoutMs, deadlines);
  }
  return deadlines;
}

function start(name: string, script: string, numberOfKeys: number): string {
  return written([name, script, numberOfKeys]) as string;
}

/** As bulk strings, in runs: texts that follow one another are one. Joined at once: each `+` would make an object. */
function written(args: readonly Argument[]): string | (string | Buffer)[] {
  let runs: (string | Buffer)[] | undefined;
  let lines: string[] = [];
  for (const arg of args) {
    if (Buffer.isBuffer(arg)) {
      runs ??= [];
      lines.push(lengthLine(arg.length), "");
      runs.push(lines.join("\r\n"), arg);
      lines = [""];
    } else {
      const text = typeof arg === "string" ? arg : String(arg);
      lines.push(lengthLine(Buffer.byteLength(text)), text);
    }
  }
  lines.push("");
  const text = lines.join("\r\n");
  if (runs === undefined) return text;
  runs.push(text);
  return runs;
}

const lengthLines: readonly string[] = Array.from({ length: 256 }, (_, length) => `$${length}`);

function lengthLine(length: number): string {
  return lengthLines[length] ?? `$${length}`;
}

function joined(begin: string, body: string | (string | Buffer)[]): string | Buffer {
  if (typeof body === "string") return begin + body;
  let bytes = Buffer.byteLength(begin);
  for (const run of body) bytes += typeof run === "string" ? Buffer.byteLength(run) : run.length;
  const octets = Buffer.allocUnsafe(bytes);
  let at = octets.write(begin);
  for (const run of body) at += typeof run === "string" ? octets.write(run, at) : copied(run, octets, at);
  return octets;
}

function copied(from: Buffer, to: Buffer, at: number): number {
  to.set(from, at);
  return from.length;
}
