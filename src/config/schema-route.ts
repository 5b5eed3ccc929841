import { corsOrigin, method, routeHost, routeName, tlsName } from "./form.js";
import { pathPattern } from "./path-pattern.js";
import { idempotencyFields, longestTimer } from "./schema-policy.js";
import { choice, duration, flag, group, integer, list, text } from "./setting.js";
import { upstreamOrigin } from "./url-form.js";

const upstreamFields = {
  url: text({
    required: true,
    form: upstreamOrigin,
    description: "Scheme, host and port of the API. Requests keep their path and query.",
  }),
  timeout: duration({
    default: "30s",
    min: "1ms",
    max: longestTimer,
    description:
      "From sending a request to its complete answer. Of a stream, and on routes without `idempotency`: to the head of the answer, then between two parts. Past it the outcome is unknown. As long may a request wait for a connection, and a reader take nothing of a streamed answer.",
  }),
  connectTimeout: duration({
    default: "2s",
    min: "1ms",
    max: longestTimer,
    description: "To connect. Past it nothing was sent, and the request may be sent again.",
  }),
  connections: integer({
    default: 64,
    min: 1,
    max: 65535,
    description:
      "Requests an upstream has at once, for each worker: so many protected ones and, apart from them, so many others.",
  }),
  keepAlive: duration({
    default: "60s",
    min: "0",
    max: longestTimer,
    description:
      "How long an idle connection is kept; less where the upstream says so (`Keep-Alive: timeout=`). `0`: a connection for each request.",
  }),
  retryUnsent: duration({
    default: "0s",
    min: "0",
    max: longestTimer,
    description:
      "While no connection can be made, and so nothing was sent, it is tried again for this long before 502; at least once.",
  }),
  preserveHost: flag({
    default: true,
    description:
      "The upstream sees the client's `Host`. `false`: that of `upstream.url`. TLS always goes by `upstream.url`.",
  }),
  tls: group(
    {
      description:
        "How an upstream with `https:` is known, and what the gateway shows it. Files are read again when they change.",
      optional: true,
      absent: "the URL's host, and the well-known authorities",
    },
    {
      serverName: text({
        form: tlsName,
        absent: "the host of `upstream.url`",
        description: "The name that is asked for (SNI) and that the certificate must have.",
      }),
      ca: text({
        absent: "the well-known authorities",
        description: "The authorities to trust instead, a PEM file. Relative to the configuration file's folder.",
      }),
      cert: text({
        absent: "none is shown",
        description: "The gateway's own certificate chain, a PEM file, for upstreams that ask for one (mTLS).",
      }),
      key: text({ absent: "none", description: "Its private key, a PEM file without passphrase." }),
    },
  ),
} as const;

const match = group(
  { description: "Which requests take this route. The most specific route wins." },
  {
    methods: list({
      absent: "POST and PATCH when the route is protected, else every method",
      minItems: 1,
      item: text({ form: method, description: "A method." }),
      description: "The methods, in capitals.",
    }),
    host: text({ absent: "every host", form: routeHost, description: "The host of the request, without port." }),
    path: text({
      required: true,
      form: pathPattern,
      description: "`/v1/payments`; `/v1/orders/:id` with a parameter; `/v1/*` with everything below.",
    }),
    caseSensitive: flag({ default: false, description: "`/V1/Payments` is another path than `/v1/payments`." }),
    ambiguousPaths: choice({
      default: "auto",
      values: ["auto", "reject", "forward"],
      description:
        "Paths with `%2f`, `%5c` or `//`. `auto`: refused on a route with `idempotency`, else passed on unless one of their readings is a protected route's path. `reject`: always refused. `forward`: as `auto`, and an error on a route with `idempotency`.",
    }),
  },
);

const corsSettings = {
  allowOrigins: list({
    default: [],
    item: text({ form: corsOrigin, description: "An origin, as `https://shop.example`, or `*`." }),
    description:
      "Pages of these origins may read what the gateway answers itself, and replays. The API's own answers pass as they are; preflights go to the API.",
  }),
  allowCredentials: flag({ default: false, description: "Also for requests with credentials, such as cookies." }),
} as const;

/** The whole of a route's settings, once `defaults` and the route are merged. */
export const upstream = group({ description: "Where the route forwards to." }, upstreamFields);
export const cors = group({ description: "What pages of other origins may read." }, corsSettings);
export const idempotency = group({ description: "What makes the route's requests safe to retry." }, idempotencyFields);

export const defaults = group(
  { description: "Values for every route that does not set them. They protect nothing by themselves." },
  {
    upstream: group({ id: "upstream", sparse: true, description: "Any of `routes[].upstream`." }, upstreamFields),
    cors: group({ id: "cors", sparse: true, description: "Any of `routes[].cors`." }, corsSettings),
    idempotency: group(
      { id: "idempotency", sparse: true, description: "Any of `routes[].idempotency`." },
      idempotencyFields,
    ),
  },
);

export const routes = list({
  required: true,
  minItems: 1,
  description: "What is forwarded, where to, and what is protected.",
  item: group(
    { description: "One route." },
    {
      name: text({
        required: true,
        maxLength: 100,
        form: routeName,
        description: "Unique. It stands in metrics, logs and the admin API.",
      }),
      match,
      upstream: group({ id: "upstream", sparse: true, description: "Where the route forwards to." }, upstreamFields),
      cors: group({ id: "cors", sparse: true, description: "What pages of other origins may read." }, corsSettings),
      idempotency: group(
        {
          id: "idempotency",
          sparse: true,
          optional: true,
          absent: "streamed through untouched",
          description: "Protects the route, also when there is nothing under it.",
        },
        idempotencyFields,
      ),
    },
  ),
});
