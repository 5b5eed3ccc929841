/** Every setting of the configuration file, declared once. What follows from it is listed in `docs/configuration.md`. */

import type { ProblemCode } from "../model.js";
import { problems } from "../problem.js";
import { bearerToken, cidr, listenHost, uri } from "./form.js";
import { type cors, defaults, type idempotency, routes, type upstream } from "./schema-route.js";
import { store } from "./schema-store.js";
import { choice, duration, either, flag, group, type Infer, integer, list, map, size, text } from "./setting.js";

const port = { min: 0, max: 65535 } as const;
const codes = Object.keys(problems) as ProblemCode[];

const tls = group(
  { description: "Serve HTTPS.", optional: true, absent: "plain HTTP" },
  {
    cert: text({
      required: true,
      description: "The certificate chain, a PEM file. Relative to the configuration file's folder.",
    }),
    key: text({ required: true, description: "Its private key, a PEM file without passphrase. Relative likewise." }),
  },
);

const limits = group(
  { description: "What one client may take." },
  {
    requestBody: size({
      default: "1MiB",
      min: "0",
      max: "1GiB",
      description: "The longest body of a protected request; beyond it 413, before anything is claimed.",
    }),
    bufferedBodies: size({
      default: "256MiB",
      min: "0",
      max: "1024GiB",
      description: "The bodies of all requests at once; beyond it 503 with `Retry-After`.",
    }),
    connections: integer({
      default: 10_000,
      min: 1,
      max: 1_000_000,
      description:
        "Connections of clients, of each worker; beyond it new ones are closed. Kept below the limit of file descriptors.",
    }),
    pipelined: integer({
      default: 16,
      min: 1,
      max: 1000,
      description: "Requests of one connection that may wait for their turn; beyond it the connection is not read.",
    }),
    headersTimeout: duration({ default: "15s", min: "100ms", max: "24h", description: "To receive a request's head." }),
    requestTimeout: duration({
      default: "60s",
      min: "100ms",
      max: "24h",
      description:
        "To receive a whole protected request; waiting and the upstream's time do not count. On other routes only a silence of that length ends an upload. A client that takes no byte of an answer for that long is cut.",
    }),
  },
);

const server = group(
  { description: "The port that clients talk to." },
  {
    host: text({ default: "0.0.0.0", form: listenHost, description: "The address to listen on." }),
    port: integer({ default: 8080, ...port, description: "The port to listen on. 0: any free one." }),
    workers: either({
      default: 1,
      description: "Processes that share the port. `auto`: one for each core.",
      of: [
        integer({ min: 1, max: 1024, description: "That many." }),
        choice({ values: ["auto"], description: "One for each core." }),
      ],
    }),
    fastPath: flag({
      default: true,
      description:
        "Messages of the usual form are read and written without a library. `false`: every message is read and written by node's and undici's own parsers.",
    }),
    drainTimeout: duration({
      default: "30s",
      min: "0",
      max: "24h",
      description: "How long running requests are finished after SIGTERM; what is left then is in doubt, and logged.",
    }),
    trustProxy: either({
      default: false,
      description:
        "Whose `X-Forwarded-*` headers are believed: nobody's, everybody's, or those of peers in these address blocks.",
      of: [
        flag({ description: "Nobody's or everybody's." }),
        list({ item: text({ form: cidr, description: "A CIDR block." }), description: "Those of peers in these." }),
      ],
    }),
    tls,
    limits,
  },
);

const admin = group(
  { description: "Health, metrics, records and the console, on a port of their own." },
  {
    host: text({ default: "127.0.0.1", form: listenHost, description: "The address to listen on." }),
    port: integer({ default: 9090, ...port, description: "The port to listen on. 0: any free one." }),
    token: text({
      default: "",
      minLength: 0,
      form: bearerToken,
      secret: true,
      description:
        "Bearer token for `/v1` and the console. Required when `admin.host` is not loopback. `file:PATH` reads it from a file.",
    }),
  },
);

export const schema = group(
  { description: "Configuration of idempotency-gateway." },
  {
    server,
    admin,
    store,
    logging: group(
      { description: "One line for each request, to standard output." },
      {
        level: choice({
          default: "info",
          values: ["trace", "debug", "info", "warn", "error", "fatal", "silent"],
          description: "The least that is logged.",
        }),
        format: choice({ default: "json", values: ["json", "pretty"], description: "`pretty` is for people." }),
      },
    ),
    problems: group(
      { description: "The `type` URIs of problem documents (RFC 9457)." },
      {
        typeBase: text({
          default: "urn:idempotency-gateway:problem:",
          form: uri,
          description: "The problem's code is appended. May be a URL of yours.",
        }),
        types: map({
          default: {},
          keys: codes,
          item: text({ form: uri, description: "A URI, used as it is." }),
          description: 'A URI for a single code, as `{ key-reused: "https://…" }`.',
        }),
      },
    ),
    defaults,
    routes,
  },
);

/** The parsed document with everything outside `defaults` and `routes` filled in. Durations are ms, sizes bytes. */
export type Settings = Infer<typeof schema>;
export type WrittenRoute = Settings["routes"][number];
/** A route as it counts: itself over `defaults` over what the schema says. */
export interface RouteSettings extends Pick<WrittenRoute, "name" | "match"> {
  readonly upstream: Infer<typeof upstream>;
  readonly cors: Infer<typeof cors>;
  readonly idempotency: Infer<typeof idempotency> | undefined;
}
