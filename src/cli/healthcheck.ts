import { get } from "node:http";
import { parseArgs } from "node:util";
import { findAdmin } from "./find-admin.js";
import type { Io } from "./io.js";

/** Shorter than the time-out any orchestrator gives a check, so that it reads our reason and not its own. */
const timeoutMs = 2_000;

const usage = `usage: idempotency-gateway healthcheck [--config FILE | --admin URL] [--live]

Asks the admin port whether the gateway is ready (/readyz), or with --live whether it lives (/healthz).
The address is the one of --config, by default http://127.0.0.1:9090; it may be in ADMIN_URL as well.
`;

/** For images without a shell or curl. The number is the exit code: 0 well, 1 not, 2 wrong command line. */
export async function healthcheck(args: readonly string[], io: Io): Promise<number> {
  const options = read(args);
  if (typeof options === "string") {
    io.stderr.write(`healthcheck: ${options}\n\n${usage}`);
    return 2;
  }
  if (options.help) {
    io.stdout.write(usage);
    return 0;
  }
  try {
    const admin = options.admin ?? (options.config === undefined ? io.env.ADMIN_URL : undefined);
    const { url } = await findAdmin({ admin, config: options.config }, io);
    const { status, body } = await ask(
      new URL(options.live ? "healthz" : "readyz", url.endsWith("/") ? url : `${url}/`),
    );
    (status === 200 ? io.stdout : io.stderr).write(`${status} ${body.trim()}\n`);
    return status === 200 ? 0 : 1;
  } catch (error) {
    io.stderr.write(`healthcheck: ${(error as Error).message}\n`);
    return 1;
  }
}

interface Options {
  readonly admin: string | undefined;
  readonly config: string | undefined;
  readonly live: boolean;
  readonly help: boolean;
}

/** A text says what is wrong with them. */
function read(args: readonly string[]): Options | string {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        admin: { type: "string" },
        config: { type: "string", short: "c" },
        live: { type: "boolean", default: false },
        help: { type: "boolean", short: "h", default: false },
      },
    });
    const { admin, config, live, help } = values;
    if (admin !== undefined && (!URL.canParse(admin) || new URL(admin).protocol !== "http:")) {
      return `${admin} is not the address of an admin port; write http://HOST:PORT`;
    }
    return { admin, config, live, help };
  } catch (error) {
    return (error as Error).message;
  }
}

/** The deadline holds for the whole answer: a socket's own time-out would begin anew with every byte. */
function ask(url: URL): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(timeoutMs);
    const fail = (error: Error) =>
      reject(new Error(signal.aborted ? `${url} did not answer in ${timeoutMs} ms` : `${url}: ${error.message}`));
    get(url, { agent: false, signal }, (response) => {
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => {
        if (body.length < 4096) body += chunk;
      });
      response.on("error", fail);
      response.on("end", () => resolve({ status: response.statusCode ?? 0, body }));
    }).on("error", fail);
  });
}
