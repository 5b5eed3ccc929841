// biome-ignore-all lint/suspicious/noTemplateCurlyInString: this is how the configuration names the environment
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import t from "tap";
import { defaultConfig, loadConfig } from "../../src/config/load.js";
import { parseOverrides } from "../../src/config/overrides.js";
import { restartOnly } from "../../src/config/restart.js";
import { streamPattern } from "../../src/config/stream-pattern.js";
import { runs } from "../property-runs.js";
import { certificate, expired, key, otherKey } from "./pem.js";
import { configOf, load, mistakes, route } from "./sample.js";

t.test("what is not written has its default, compiled and frozen", (t) => {
  const { folder, ...loaded } = load(t, route("idempotency: {}"));
  if (loaded.kind !== "ok") throw new Error(JSON.stringify(loaded));
  const { routes, ...rest } = loaded.config;
  t.strictSame(rest, {
    server: {
      host: "0.0.0.0",
      port: 8080,
      workers: 1,
      fastPath: true,
      drainTimeoutMs: 30_000,
      trustProxy: false,
      tls: null,
      limits: {
        requestBodyBytes: 1_048_576,
        bufferedBodiesBytes: 268_435_456,
        headersTimeoutMs: 15_000,
        requestTimeoutMs: 60_000,
        connections: 10_000,
        pipelined: 16,
      },
    },
    admin: { host: "127.0.0.1", port: 9090, token: null },
    store: { type: "embedded", path: join(folder, "data") },
    logging: { level: "info", format: "json" },
    problems: { typeBase: "urn:idempotency-gateway:problem:", types: {} },
    certificates: [],
  });
  t.strictSame(routes, [
    {
      name: "pay",
      match: {
        methods: new Set(["POST", "PATCH"]),
        host: null,
        path: "/pay",
        caseSensitive: false,
        ambiguousPaths: "auto",
      },
      upstream: {
        origin: "http://api:3000",
        timeoutMs: 30_000,
        connectTimeoutMs: 2000,
        connections: 64,
        keepAliveMs: 60_000,
        retryUnsentMs: 0,
        preserveHost: true,
        tls: null,
      },
      cors: null,
      policy: {
        key: {
          sources: [{ from: "header", name: "Idempotency-Key" }],
          isFirstOf: false,
          required: true,
          maxLength: 255,
          pattern: /^[!-+\--~]+$/,
          strict: false,
          forward: true,
          age: null,
        },
        scope: [{ from: "client", withHost: true, optional: false }],
        namespace: "pay",
        fingerprint: { body: "bytes", ignore: [], headers: [], query: true },
        concurrency: "wait",
        waitTimeoutMs: 30_000,
        maxWaiters: 1000,
        leaseMs: 15_000,
        retentionMs: 86_400_000,
        inDoubtRetentionMs: 2_592_000_000,
        outcomes: {
          when: [],
          release: new Set([307, 308, 401, 403, 407, 408, 421, 425, 429, 521, 523, 525, 526, 530]),
          unknown: new Set([460, 499, 502, 503, 504, 520, 522, 524, 527, 561, 598, 599]),
        },
        inDoubt: "hold",
        probe: null,
        storeUnavailable: "reject",
        maxStoredBytes: 1_048_576,
        streamTypes: [
          "text/event-stream",
          "application/x-ndjson",
          "application/jsonl",
          "application/grpc-web",
          "multipart/x-mixed-replace",
        ],
        streamPattern: streamPattern(routes[0]!.policy!.streamTypes),
        omitHeaders: new Set(),
        replayHeader: "Idempotent-Replayed",
        mode: "enforce",
      },
    },
  ]);
  t.ok(Object.isFrozen(routes[0]?.policy?.key.sources));
  t.equal(/^[!-+\--~]+$/.test("a,b"), false, "the default pattern has no comma");
  t.end();
});

t.test("what is written arrives in the units of the compiled configuration", (t) => {
  const config = configOf(
    t,
    `
server: { host: "::1", port: 0, drainTimeout: 1m30s, trustProxy: [10.0.0.0/8, 192.0.2.7, "fd00::1"] }
store:
  type: redis
  url: rediss://user:pass@redis:6380/2
  commandTimeout: 250ms
problems: { typeBase: "https://example.com/p/", types: { key-reused: "https://example.com/reuse" } }
routes:
  - name: order
    match: { methods: [PUT], host: API.Example.com, path: "/orders/:id", caseSensitive: true }
    upstream: { url: "HTTPS://Legacy:443/", preserveHost: false }
    idempotency:
      key: { from: [path:id, body:/a~1b/0, query:k], required: false }
      scope: []
      namespace: shared
      fingerprint: { body: json, ignore: [/sent~0At], headers: [Prefer] }
      inDoubt: probe
      probe: { url: "http://legacy/by/{path.id}?k={key}", notDone: [404, 410] }
      response: { maxStored: 0, omitHeaders: [Set-Cookie] }
`,
  );
  t.match(config.server, { host: "::1", port: 0, drainTimeoutMs: 90_000 });
  t.same(config.server.trustProxy, ["10.0.0.0/8", "192.0.2.7/32", "fd00::1/128"]);
  t.match(config.store, {
    type: "redis",
    url: "rediss://user:pass@redis:6380/2",
    commandTimeoutMs: 250,
    sentinel: null,
  });
  t.equal(config.problems.types["key-reused"], "https://example.com/reuse");
  const [order] = config.routes;
  t.match(order, {
    match: { methods: new Set(["PUT"]), host: "api.example.com" },
    upstream: { origin: "https://legacy" },
  });
  t.match(order?.policy, {
    key: {
      sources: [
        { from: "path", name: "id" },
        { from: "body", pointer: ["a/b", "0"] },
        { from: "query", name: "k" },
      ],
    },
    scope: [],
    namespace: "shared",
    fingerprint: { ignore: [["sent~At"]], headers: ["prefer"] },
    probe: { method: "GET", url: "http://legacy/by/{path.id}?k={key}", notDone: new Set([404, 410]) },
    maxStoredBytes: 0,
    omitHeaders: new Set(["set-cookie"]),
  });
  t.end();
});

t.test("a list of outcomes that is written goes before the other's default, and a status before a class", (t) => {
  const outcomesOf = (written: string) => {
    const route = `{ name: a, match: { path: /a }, upstream: { url: http://a }, idempotency: { outcomes: { ${written} } } }`;
    return configOf(t, `routes: [${route}]`).routes[0]!.policy!.outcomes;
  };
  const usual = outcomesOf("");
  t.ok(usual.unknown.has(503) && usual.release.has(408));
  const released = outcomesOf("release: [503, 504]");
  t.same(released.release, new Set([503, 504]));
  t.same(released.unknown, new Set([...usual.unknown].filter((status) => status !== 503 && status !== 504)));
  const doubted = outcomesOf("unknown: [5xx]");
  t.same(doubted.unknown, new Set(Array.from({ length: 100 }, (_, index) => 500 + index)));
  t.same(doubted.release, new Set([...usual.release].filter((status) => status < 500)));
  const freed = outcomesOf("release: [4XX, 5xx]");
  t.ok(freed.release.has(503) && freed.release.has(499) && freed.release.has(400));
  t.same(freed.unknown, new Set());
  const both = outcomesOf("release: [4xx, 502], unknown: [5xx, 404]");
  t.ok(both.release.has(502) && !both.unknown.has(502) && both.unknown.has(404) && !both.release.has(404));
  t.ok(both.unknown.has(500) && both.release.has(400));
  t.end();
});

t.test("a status that proxies make after the request was sent is released with a warning only", (t) => {
  const warningsOf = (written: string) => {
    const route = `{ name: a, match: { path: /a }, upstream: { url: http://a }, idempotency: { outcomes: { ${written} } } }`;
    const loaded = load(t, `routes: [${route}]`);
    return loaded.kind === "ok" ? loaded.warnings.map(({ message }) => message) : ["bad"];
  };
  t.same(warningsOf(""), []);
  t.same(warningsOf("release: [429]"), []);
  t.match(warningsOf("release: [503]"), [/takes 503 for "not done"/]);
  t.match(warningsOf("release: [5xx]"), [/takes 502, 503, 504 for "not done"/]);
  t.end();
});

t.test("a rule of outcomes is compiled as it is written", (t) => {
  const { routes } = configOf(
    t,
    `
routes:
  - name: a
    match: { path: /a }
    upstream: { url: http://a }
    idempotency:
      outcomes:
        when:
          - { status: 503, header: Retry-After, as: release }
          - { status: 2xx, body: /errors/0/code, equals: 7, as: unknown }
          - { header: X-Final, equals: true, as: final }
          - { header: X-Seen, present: false, as: unknown }
`,
  );
  t.match(routes[0]?.policy?.outcomes.when, [
    { status: new Set([503]), at: { header: "retry-after" }, equals: null, isPresent: true, verdict: "release" },
    { at: { body: ["errors", "0", "code"] }, equals: "7", verdict: "unknown" },
    { status: null, at: { header: "x-final" }, equals: "true", verdict: "final" },
    { at: { header: "x-seen" }, equals: null, isPresent: false },
  ]);
  t.equal(routes[0]?.policy?.outcomes.when[1]?.status?.size, 100);
  t.end();
});

t.test("defaults fill in field by field, in nested groups too, and protect nothing by themselves", (t) => {
  const { routes } = configOf(
    t,
    `
defaults:
  upstream: { url: http://legacy, timeout: 5s }
  idempotency:
    key: { from: header:X-Key, maxLength: 64 }
    outcomes: { unknown: [500] }
    inDoubt: probe
    probe: { done: [201] }
routes:
  - { name: a, match: { path: /a }, upstream: { timeout: 9s }, idempotency: { key: { maxLength: 32 }, probe: { url: http://legacy/ask } } }
  - { name: b, match: { path: /b }, idempotency: { inDoubt: hold, outcomes: { unknown: [502, 504] } } }
  - name: c
    match: { path: /c }
    idempotency:
      inDoubt: retry
  - { name: d, match: { path: /d } }
`,
  );
  const [a, b, c, d] = routes;
  t.match(a?.upstream, { origin: "http://legacy", timeoutMs: 9000, connectTimeoutMs: 2000 });
  t.match(a?.policy?.key, { sources: [{ name: "X-Key" }], maxLength: 32, required: true });
  t.match(a?.policy?.probe, { url: "http://legacy/ask", done: new Set([201]), notDone: new Set() });
  t.same(a?.policy?.outcomes.unknown, new Set([500]), "a list is replaced whole");
  t.same(b?.policy?.outcomes.unknown, new Set([502, 504]));
  t.equal(b?.policy?.probe, null, "a route that does not probe need not complete the probe of defaults");
  t.equal(c?.policy?.key.maxLength, 64);
  t.equal(d?.policy, null);
  t.equal(d?.match.methods, null, "an unprotected route takes every method");
  t.end();
});

t.test("a group with nothing under it is an empty group, so `idempotency:` protects", (t) => {
  const { routes, admin } = configOf(t, `admin:\n${route("idempotency:")}`);
  t.equal(routes[0]?.policy?.namespace, "pay");
  t.equal(admin.port, 9090);
  t.end();
});

t.test("an expanded value takes the type of its setting, quoted or not, and is never read as YAML", (t) => {
  const secret = 'p@ss: "x" # {y}\n- injected: true';
  const config = configOf(
    t,
    `
server: { port: "\${PORT:-8081}", workers: "\${WORKERS}", trustProxy: "\${TRUST}" }
admin:
  port: \${PORT:-80}91
store:
  path: \${DIR}/\${NONE:-records}
problems: { typeBase: "\${DIGITS}" }
${route("idempotency:", "  namespace: ${SECRET}", "  lease: ${LEASE}", '  key: { required: "${BOOL:-false}" }')}`,
    { env: { SECRET: secret, WORKERS: "1", TRUST: "true", DIR: "/var", DIGITS: "0123", LEASE: "2s" } },
  );
  t.equal(config.server.port, 8081);
  t.equal(config.server.workers, 1);
  t.equal(config.server.trustProxy, true);
  t.equal(config.admin.port, 8091);
  t.same(config.store, { type: "embedded", path: "/var/records" });
  t.equal(config.problems.typeBase, "0123", "digits stay text where text is meant");
  t.match(config.routes[0]?.policy, { namespace: secret, leaseMs: 2000, key: { required: false } });
  t.end();
});

t.test("nothing the environment holds changes anything but the value it stands in", (t) => {
  const plain = configOf(t, route("idempotency:", "  namespace: ab"));
  const folder = t.testdir({ "gateway.yaml": route("idempotency:", "  namespace: a${SECRET}b") });
  const piece = fc.constantFrom(
    "\n  lease: 1s",
    "${HOME}",
    "$${",
    "#",
    ": ",
    "{",
    "]",
    '"',
    "'",
    "*x",
    "&x",
    "!!int 1",
    "\t",
    "é",
  );
  fc.assert(
    fc.property(fc.string({ unit: fc.oneof(piece, fc.string({ minLength: 1, maxLength: 1 })) }), (secret) => {
      const loaded = loadConfig("gateway.yaml", { SECRET: secret, HOME: "/root" }, { cwd: folder });
      if (loaded.kind !== "ok") return false;
      const [pay] = loaded.config.routes;
      const policy = { ...pay?.policy, namespace: "ab" };
      return pay?.policy?.namespace === `a${secret}b` && isDeepStrictEqual(policy, { ...plain.routes[0]?.policy });
    }),
    runs(50, 200),
  );
  t.end();
});

t.test("a secret is read from a file, less one line end, and no message repeats it", (t) => {
  const text = `admin: { host: 0.0.0.0, token: "file:\${DIR:-.}/token" }\n${route()}`;
  t.equal(configOf(t, text, { files: { token: "${s3cret}\n" } }).admin.token, "${s3cret}", "and it is not expanded");
  t.equal(configOf(t, text, { files: { token: "s3cret\r\n" } }).admin.token, "s3cret");
  t.same(mistakes(t, text), ["1:32 admin.token: cannot read ./token: no such file"]);
  t.same(mistakes(t, text, { files: { token: "\n" } }), ["1:32 admin.token: ./token is empty"]);
  const [odd] = mistakes(t, text, { files: { token: "s3cret and more\n\n" } });
  t.match(odd, /may hold only printable ASCII/);
  const redis = `store: { type: redis, url: "\${URL}" }\n${route()}`;
  for (const url of [
    "redis://u:s3cret@h/x",
    "http://u:s3cret@h",
    "redis://u:s3c#ret@h",
    "redis://u:s3cret@h:notaport",
  ]) {
    const [told] = mistakes(t, redis, { env: { URL: url } });
    t.match(told, /^1:28 store\.url: expected a URL such as redis:/);
    t.notMatch(told, "s3c");
  }
  t.notMatch(mistakes(t, `admin: { token: 31337 }\n${route()}`)[0], "31337");
  t.end();
});

t.test("TLS files are read, relative to the configuration's folder, and belong together", (t) => {
  const text = `server: { tls: { cert: ./c.pem, key: k.pem } }\n${route()}`;
  const files = { "c.pem": certificate, "k.pem": key };
  t.same(configOf(t, text, { files }).server.tls, { cert: certificate, key });
  t.same(mistakes(t, text, { files: { ...files, "k.pem": otherKey } }), [
    "1:38 server.tls.key: is not the key of the certificate in ./c.pem",
  ]);
  t.same(mistakes(t, text, { files: { "c.pem": key } }), [
    "1:24 server.tls.cert: ./c.pem does not hold a PEM certificate",
    "1:38 server.tls.key: cannot read k.pem: no such file",
  ]);
  const old = load(t, text, { files: { ...files, "c.pem": expired } });
  t.match(old, { kind: "ok", warnings: [{ path: "server.tls.cert", message: /expired/ }] });
  t.end();
});

t.test("a file that cannot be read is one plain line", (t) => {
  const cwd = t.testdir({ folder: {}, "latin1.yaml": Buffer.from([0x61, 0x3a, 0x20, 0xe9]) });
  t.match(loadConfig("none.yaml", {}, { cwd }), { kind: "unreadable", message: "cannot read none.yaml: no such file" });
  t.match(loadConfig("folder", {}, { cwd }), { kind: "unreadable", message: "cannot read folder: is a folder" });
  t.match(loadConfig("latin1.yaml", {}, { cwd }), { kind: "unreadable", message: "latin1.yaml is not UTF-8 text" });
  t.end();
});

t.test("the digest changes with the content of any file that was read, and with nothing else", (t) => {
  const folder = t.testdir({ "gateway.yaml": `admin: { token: file:token }\n${route()}`, token: "one" });
  const again = () => loadConfig("gateway.yaml", {}, { cwd: folder });
  const first = again();
  t.same(first.files, [join(folder, "gateway.yaml"), join(folder, "token")]);
  t.equal(again().digest, first.digest);
  writeFileSync(join(folder, "token"), "two");
  t.not(again().digest, first.digest);
  writeFileSync(join(folder, "token"), "one");
  t.equal(again().digest, first.digest);
  writeFileSync(join(folder, "gateway.yaml"), "routes: 1");
  const bad = again();
  t.equal(bad.kind, "bad");
  t.equal(again().digest, bad.digest, "a bad file need not be told twice");
  t.end();
});

t.test("the command line wins over the file, and over defaults in it", (t) => {
  const text = `
server: { port: 1111 }
defaults: { upstream: { url: http://from-file } }
routes:
  - { name: a, match: { path: /a } }
  - { name: b, match: { path: /b }, upstream: { url: http://own } }
`;
  const overrides = { upstream: "http://typed:1", port: 2222, adminPort: 0 };
  const config = configOf(t, text, { overrides });
  t.equal(config.server.port, 2222);
  t.equal(config.admin.port, 0);
  t.same(
    config.routes.map((each) => each.upstream.origin),
    ["http://typed:1", "http://own"],
  );
  t.end();
});

t.test("flags that make no sense are told in one line", (t) => {
  t.same(parseOverrides({ upstream: "http://a:1", port: "0", "admin-port": "9" }), {
    kind: "ok",
    overrides: { upstream: "http://a:1", port: 0, adminPort: 9 },
  });
  t.same(parseOverrides({}), { kind: "ok", overrides: {} });
  const told = (flags: Parameters<typeof parseOverrides>[0]) => (parseOverrides(flags) as { message?: string }).message;
  t.equal(told({ port: "80a" }), '--port: expected a whole number from 0 to 65535, got "80a"');
  t.equal(told({ "admin-port": "65536" }), '--admin-port: expected a whole number from 0 to 65535, got "65536"');
  t.equal(
    told({ upstream: "localhost:3000" }),
    "--upstream: expected a URL such as http://legacy-payments:3000; did you mean http://localhost:3000?",
  );
  t.equal(told({ port: "81", "admin-port": "81" }), "--admin-port: is the same as --port");
  t.end();
});

t.test("without a file, POST and PATCH are protected where a key is sent, and nothing else is touched", (t) => {
  const built = defaultConfig({ upstream: "http://api:3000", port: 8000 }, "/srv");
  if (built.kind !== "ok") throw new Error(built.message);
  const { server, store, routes } = built.config;
  t.equal(server.port, 8000);
  t.same(store, { type: "embedded", path: "/srv/data" });
  const [all, others] = routes;
  t.match(all, {
    name: "all",
    match: { path: "/*" },
    policy: { key: { required: false } },
    upstream: { origin: "http://api:3000", timeoutMs: 3_600_000, connections: 10_000 },
  });
  t.same(all?.match.methods, new Set(["POST", "PATCH"]));
  t.match(others, { match: { methods: null, path: "/*", ambiguousPaths: "auto" }, policy: null });
  t.same(defaultConfig({ upstream: "http://api", port: 9090 }), {
    kind: "bad",
    message: "server.port is the same as admin.port (9090)",
  });
  t.end();
});

t.test("changes that a reload cannot apply are named as they are written", (t) => {
  const base = configOf(t, route());
  t.same(restartOnly(base, configOf(t, `problems: { typeBase: "urn:x:" }\n${route("idempotency:")}`)), []);
  const changed = `
server: { port: 1, limits: { requestBody: 1KiB, requestTimeout: 20s }, trustProxy: [10.0.0.0/8], tls: { cert: c, key: k } }
admin: { token: t }
logging: { format: pretty }
`;
  const files = { c: certificate, k: key };
  t.same(restartOnly(base, { ...configOf(t, changed + route(), { files }), store: base.store }), [
    "server.port",
    "server.trustProxy",
    "server.tls",
    "server.limits.requestBody",
    "server.limits.requestTimeout",
    "admin.token",
    "logging.format",
  ]);
  t.end();
});

t.test("whatever stands in the file, the loader tells what is wrong with it and never throws", (t) => {
  const folder = t.testdir({ "gateway.yaml": "" });
  const piece = fc.constantFrom(
    ..."a: \n-[]{}&*!|>'\"#%@\t$?,<".split(""),
    "routes",
    "server",
    "${",
    "<<",
    "\r\n",
    "__proto__: ",
  );
  fc.assert(
    fc.property(fc.string({ unit: piece, maxLength: 40 }), (text) => {
      writeFileSync(join(folder, "gateway.yaml"), text);
      const loaded = loadConfig("gateway.yaml", {}, { cwd: folder });
      return loaded.kind === "bad" && loaded.mistakes.every(({ line, column }) => line >= 1 && column >= 1);
    }),
    runs(50, 300),
  );
  t.end();
});

t.test(
  "a scope whose value is new in each attempt, and a key that outlives its record, are warned of (F04)",
  async (t) => {
    const warningsOf = (idempotency: string) => {
      const loaded = load(t, route(`idempotency: ${idempotency}`));
      return loaded.kind === "ok" ? loaded.warnings.map(({ path }) => path) : [loaded.kind];
    };
    for (const name of ["Date", "X-Amz-Date", "traceparent", "X-Request-Id", "X-B3-TraceId", "Signature-Input"]) {
      t.same(warningsOf(`{ scope: ["header:${name}"] }`), ["routes[0].idempotency.scope[0]"], name);
    }
    t.same(warningsOf('{ scope: [client, host, "header:x-tenant", "cookie:user?", "form:shop"] }'), []);
    t.same(warningsOf("{ key: { maxAge: 48h } }"), ["routes[0].idempotency.key.maxAge"]);
    t.same(warningsOf("{ key: { maxAge: 24h, bornFrom: header:Date } }"), []);
    t.same(warningsOf("{ key: { bornFrom: key } }"), ["routes[0].idempotency.key.bornFrom"]);
  },
);

t.test("one place, all of a list, or the first of one: the key's sources as they are compiled (F25)", async (t) => {
  const keyOf = (from: string) => configOf(t, route(`idempotency: { key: { from: ${from} } }`)).routes[0]?.policy?.key;
  t.match(keyOf("cookie:sid"), { sources: [{ from: "cookie", name: "sid" }], isFirstOf: false });
  t.match(keyOf("[form:a, query:b]"), { sources: [{ from: "form" }, { from: "query" }], isFirstOf: false });
  t.match(keyOf("{ firstOf: [header:A, body:/b] }"), {
    sources: [{ from: "header" }, { from: "body" }],
    isFirstOf: true,
  });
  const policyOf = (text: string) => configOf(t, route(`idempotency: ${text}`)).routes[0]?.policy;
  t.same(policyOf("{ fingerprint: { query: { ignore: [ts] } } }")?.fingerprint.query, { ignore: ["ts"] });
  t.same(policyOf("{ fingerprint: { query: {} } }")?.fingerprint.query, { ignore: [] });
  t.equal(policyOf("{ fingerprint: { query: false } }")?.fingerprint.query, false);
});

t.test("the files of upstream.tls are read, and what is wrong with them is told where they are named", (t) => {
  const files = { "ca.pem": certificate + expired, "c.pem": certificate, "k.pem": key, "other.pem": otherKey };
  const text = (tls: string, url = "https://api", more = "") =>
    `routes:\n- { name: a, match: { path: /a }, upstream: { url: ${url}, tls: ${tls} } }\n${more}`;
  const config = configOf(t, text("{ serverName: b.c, ca: 'file:ca.pem', cert: c.pem, key: k.pem }"), { files });
  t.same(config.routes[0]?.upstream.tls, { serverName: "b.c", ca: certificate + expired, cert: certificate, key });
  t.same(
    config.certificates.map(({ file, notAfterMs }) => [file, new Date(notAfterMs).getUTCFullYear()]),
    [
      ["ca.pem", 2021],
      ["c.pem", 2126],
    ],
    "of several the first that ends",
  );
  t.same(mistakes(t, text("{ ca: k.pem, cert: c.pem, key: other.pem }"), { files }), [
    "2:76 routes[0].upstream.tls.ca: k.pem does not hold a PEM certificate",
    "2:101 routes[0].upstream.tls.key: is not the key of the certificate in c.pem",
  ]);
  t.same(mistakes(t, text("{ cert: c.pem }"), { files }), [
    "2:78 routes[0].upstream.tls.cert: needs its private key: set upstream.tls.key too",
  ]);
  t.same(mistakes(t, text("{ ca: none.pem, serverName: 127.0.0.1 }"), { files }).length, 1);
  t.match(mistakes(t, text("{ ca: c.pem }", "http://api"), { files }), [
    /works with https: only, and url is http:\/\/api/,
  ]);
  const inherited = `defaults: { upstream: { tls: { ca: c.pem } } }
routes: [{ name: a, match: { path: /a }, upstream: { url: "http://a" } }, { name: b, match: { path: /b }, upstream: { url: "https://b" } }]`;
  t.same(
    configOf(t, inherited, { files }).routes.map(({ upstream }) => upstream.tls?.ca),
    [undefined, certificate],
    "plain upstreams have no use for what they inherit",
  );
  t.end();
});
