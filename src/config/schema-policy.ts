import { headerName, mediaType, method, regularExpression } from "./form.js";
import { probeUrl } from "./probe-url.js";
import { outcomes } from "./schema-outcomes.js";
import { choice, duration, either, flag, group, integer, list, size, text } from "./setting.js";
import { birth, jsonPointer, keySource, scopeSource } from "./source.js";

const header = text({ form: headerName, description: "A header name." });
const status = integer({ min: 100, max: 599, description: "An HTTP status." });

/** Timers of node end at 2^31 ms. */
export const longestTimer = "24d";

const key = group(
  { description: "Where the idempotency key is read, and what a valid one is." },
  {
    from: either({
      default: "header:Idempotency-Key",
      description:
        "`header:NAME`, `query:NAME`, `path:NAME` (a parameter of `match.path`), `cookie:NAME`, `form:NAME` (a field of an urlencoded form) or `body:/json/pointer`; or a list: all of them together are the key; or `{ firstOf: […] }`: the first that is there.",
      of: [
        text({ form: keySource, description: "One place." }),
        list({ minItems: 1, item: text({ form: keySource, description: "A place." }), description: "All of these." }),
        group(
          { description: "The first of these that is there." },
          {
            firstOf: list({
              required: true,
              minItems: 1,
              item: text({ form: keySource, description: "A place." }),
              description: "It is one key wherever it stands.",
            }),
          },
        ),
      ],
    }),
    required: flag({
      default: true,
      description:
        "A request without a key gets 400 `key-missing`, one with a key that cannot be used 400 `key-invalid`. `false`: both are forwarded, unprotected.",
    }),
    maxLength: integer({ default: 255, min: 1, max: 8192, description: "The longest key taken, in characters." }),
    pattern: text({
      default: "^[!-+\\--~]+$",
      form: regularExpression,
      description:
        "A regular expression (JavaScript) the key must match. The default: printable ASCII without space and comma.",
    }),
    strict: flag({
      default: false,
      description: "Take only a quoted structured-field string, as the IETF draft writes keys.",
    }),
    forward: flag({
      default: true,
      description: "The upstream sees the key. `false`: its header or query parameter is left out.",
    }),
    maxAge: duration({
      absent: "no limit",
      min: "1s",
      max: "3650d",
      description:
        "A key that was made longer ago, and has no record (any more), gets 410 `key-expired`. Set it no longer than `retention`.",
    }),
    bornFrom: text({
      absent: "`key`",
      form: birth,
      description:
        "Where it is read when the key was made, with `maxAge`: `key` itself, a UUID of version 7 or a ULID; or `header:NAME`, an RFC 3339 time or an HTTP date.",
    }),
  },
);

const fingerprint = group(
  { description: "What must be equal, besides method and path, for two requests to be the same request." },
  {
    body: choice({
      default: "bytes",
      values: ["bytes", "json", "none"],
      description:
        "`bytes`: byte for byte. `json`: whatever the order of members and white space. `none`: not compared.",
    }),
    ignore: list({
      default: [],
      item: text({ form: jsonPointer, description: "A JSON pointer." }),
      description: "JSON pointers to what may differ between retries, with `body: json`.",
    }),
    headers: list({
      default: [],
      foldCase: true,
      item: header,
      description: "Request headers that must be equal as well.",
    }),
    query: either({
      default: true,
      description:
        "The query must be equal as well, in whatever order its names come. `{ ignore: [ts, sig] }`: without these parameters.",
      of: [
        flag({ description: "Whether it counts." }),
        group(
          { description: "What of it does not count." },
          {
            ignore: list({
              default: [],
              item: text({ description: "A name." }),
              description: "Names of parameters that may differ between retries.",
            }),
          },
        ),
      ],
    }),
  },
);

const probe = group(
  {
    description: "How the upstream is asked whether a request in doubt was carried out; with `inDoubt: probe`.",
    optional: true,
  },
  {
    method: text({ default: "GET", form: method, description: "The method of the question." }),
    url: text({
      required: true,
      form: probeUrl,
      description: "An absolute URL; `{key}`, `{path.NAME}` and `{body:/pointer}` in its path or query are filled in.",
    }),
    done: list({
      default: [200],
      minItems: 1,
      item: status,
      description: "It happened: this answer is stored as the response.",
    }),
    notDone: list({
      default: [],
      item: status,
      description:
        'It did not happen, and never will: the retry may run. Without one the probe can only confirm; many a 404 means "not yet".',
    }),
  },
);

const response = group(
  { description: "What is kept of a response." },
  {
    maxStored: size({
      default: "1MiB",
      min: "0",
      max: "256MiB",
      description: "A longer body is passed on but not kept: a retry gets 409 `response-not-stored`.",
    }),
    stream: list({
      default: [
        "text/event-stream",
        "application/x-ndjson",
        "application/jsonl",
        "application/grpc-web",
        "multipart/x-mixed-replace",
      ],
      item: text({ form: mediaType, description: "A media type without parameters, or `text/*`." }),
      description:
        "Media types of streams: passed on part by part and not kept, like a response with `X-Accel-Buffering: no`. Parameters and suffixes (`+proto`) are not compared.",
    }),
    omitHeaders: list({
      default: [],
      foldCase: true,
      item: header,
      description: "Response headers that are never stored, and missing from a replay.",
    }),
  },
);

export const idempotencyFields = {
  key,
  scope: list({
    default: ["client"],
    item: text({ form: scopeSource, description: "A place, with `?` where it may be absent." }),
    description:
      "Whose key it is: equal keys of different scopes never meet. `client`: the caller's credential (`Authorization`, of schemes that sign each request the part that identifies the client, or else an API key), and the host where `match.host` names none; `host`; or places as in `key.from`. `?` at the end: may be absent. An empty list: one scope for all clients.",
  }),
  namespace: text({
    absent: "the route's name",
    maxLength: 255,
    description: "Keys are unique within a namespace. Routes with the same one share their records.",
  }),
  fingerprint,
  concurrency: choice({
    default: "wait",
    values: ["wait", "reject"],
    description:
      "While the first request runs, another `wait`s for its answer, or is `reject`ed with 409 `in-progress`.",
  }),
  waitTimeout: duration({
    default: "30s",
    min: "0",
    max: longestTimer,
    description: "How long it waits before it gets 409 `in-progress`.",
  }),
  maxWaiters: integer({
    default: 1000,
    min: 0,
    max: 1_000_000,
    description: "How many may wait for one key in one worker.",
  }),
  lease: duration({
    default: "15s",
    min: "100ms",
    max: "1h",
    description:
      "How long a claim holds without being renewed, which happens while the upstream works. Past it the record is in doubt.",
  }),
  retention: duration({
    default: "24h",
    min: "1ms",
    max: "3650d",
    description: "How long a response is kept, from the end of its request, and so how late a retry may come.",
  }),
  inDoubtRetention: duration({
    default: "30d",
    min: "1ms",
    max: "3650d",
    description: "How long what is in doubt is held for a decision. Never less than `retention`.",
  }),
  outcomes,
  inDoubt: choice({
    default: "hold",
    values: ["hold", "retry", "probe"],
    description:
      "What a retry gets while nobody knows whether the first request was carried out. `hold`: 409 `outcome-unknown` until somebody decides. `retry`: it runs, perhaps a second time. `probe`: the upstream is asked.",
  }),
  probe,
  storeUnavailable: choice({
    default: "reject",
    values: ["reject", "bypass"],
    description:
      "`reject`: 503 `store-unavailable`, nothing is sent. `bypass`: forwarded without protection, and counted.",
  }),
  response,
  replayHeader: text({
    default: "Idempotent-Replayed",
    form: headerName,
    description: "The response header, with the value `true`, that marks a stored answer.",
  }),
  mode: choice({
    default: "enforce",
    values: ["enforce", "observe"],
    description: "`observe`: nothing is refused, held back or replayed; what would have happened is counted.",
  }),
} as const;
