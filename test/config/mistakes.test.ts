// biome-ignore-all lint/suspicious/noTemplateCurlyInString: this is how the configuration names the environment
import { hostname } from "node:os";
import t from "tap";
import { check } from "../../src/cli/check.js";
import { mistakes, route } from "./sample.js";

t.test("five mistakes in one file are told at once, each where it is", (t) => {
  const text = `# a file with five mistakes
server:
  drainTimout: 30s
admin:
  port: 99999
store:
  path: \${NOWHERE}
routes:
  - name: pay
    match: { path: /pay }
    upstream: { url: http://api:3000 }
    idempotency:
      lease: 15
  - name: pay
    match:
      path: /other
    upstream: { url: http://api:3000 }
`;
  t.strictSame(mistakes(t, text), [
    "3:3 server.drainTimout: unknown key; did you mean drainTimeout?",
    "5:9 admin.port: expected a whole number from 0 to 65535, got 99999",
    "7:9 store.path: the environment has no NOWHERE, and there is no default: set it, or write ${NOWHERE:-default}",
    "13:14 routes[0].idempotency.lease: 15 has no unit; did you mean 15s?",
    '14:11 routes[1].name: "pay" is the name of routes[0] already (line 9)',
  ]);
  t.end();
});

t.test("what is no YAML is told in the same form, once for each line", (t) => {
  const [tab, ...more] = mistakes(t, "server:\n\tport: 1\n");
  t.match(tab, /^2:1 \(document\): is not valid YAML: Tabs/);
  t.same(more, []);
  t.match(mistakes(t, "a: 'x\n"), [/^2:1 \(document\): is not valid YAML: Missing closing 'quote/]);
  t.match(mistakes(t, "server: { port: ${PORT:-1} }\n"), [/^1:18 .* write "\$\{NAME\}" with quotes/]);
  t.match(mistakes(t, `${route()}---\na: 1\n`), [/^5:1 .*a second document begins here/]);
  t.match(mistakes(t, `%YAML 1.1\n---\n${route()}`), [/^1:1 \(document\): is YAML 1.2, not 1.1/]);
  t.match(mistakes(t, "server: !env PORT\n"), [/^1:9 .*Unresolved tag: !env/]);
  t.match(mistakes(t, "? [a]\n: 1\n"), [/^1:3 .*all keys must be strings/]);
  t.end();
});

t.test("a document that is empty, or something else, is told as such", (t) => {
  t.same(mistakes(t, ""), ["1:1 routes: is required"]);
  t.same(mistakes(t, "# nothing\n"), ["1:1 routes: is required"]);
  t.match(mistakes(t, "just text\n"), [/^1:1 \(document\): expected settings below it/]);
  t.match(mistakes(t, "routes: []\n"), ["1:9 routes: needs at least one entry"]);
  t.end();
});

t.test("a key given twice is told at the second one, at any depth", (t) => {
  t.same(mistakes(t, `server:\n  port: 1\n  port: 2\nserver: {}\n${route()}`), [
    "3:3 server.port: is given twice, first on line 2",
    "4:1 server: is given twice, first on line 1",
  ]);
  t.end();
});

t.test("aliases are followed, and neither circles nor piles of them are a danger", (t) => {
  const shared = `
routes:
  - { name: a, match: { path: /a }, upstream: &up { url: http://api, timeout: 5 } }
  - { name: b, match: { path: /b }, upstream: *up }
`;
  t.match(mistakes(t, shared), [
    /^3:79 routes\[0\]\.upstream\.timeout: 5 has no unit/,
    /^3:79 routes\[1\]\.upstream\.timeout: 5 has no unit/,
  ]);
  t.match(mistakes(t, `server: *none\n${route()}`), ["1:9 server: *none refers to an anchor that is not there"]);
  t.ok(mistakes(t, `routes: &r [*r]\n`).some((told) => told.endsWith("is nested too deeply")));
  const levels = Array.from(
    { length: 12 },
    (_, level) => `x${level}: &x${level} [${Array(10).fill(level === 0 ? "y" : `*x${level - 1}`)}]`,
  );
  t.ok(mistakes(t, levels.join("\n")).some((told) => told.includes("grows too large")));
  t.match(mistakes(t, `server: { <<: {} }\n${route()}`), [/^1:11 server\["<<"\]: YAML 1\.2 has no merge key/]);
  t.end();
});

/** One line put into a file that is right otherwise, and the end of what is told of it. Line 1 unless told otherwise. */
const outside: Record<string, string> = {
  "sever: {}": "1:1 sever: unknown key; did you mean server?",
  "nonsense: {}": "1:1 nonsense: unknown key; here belong server, admin, store, logging, problems, defaults, routes",
  "server: { requestBody: 1MiB }": "1:11 server.requestBody: unknown key; did you mean limits.requestBody?",
  "server: [1]": "1:9 server: expected settings below it (name: value), got a list",
  "server: { host: 12 }": "1:17 server.host: expected text, got the number 12; put it in quotes",
  "server: { host: }": "1:11 server.host: expected text, got nothing",
  "server: { host: '0.0.0.0:80' }": "1:17 server.host: takes a host alone; the port has its own setting beside it",
  "server: { host: '[::1]' }": "1:17 server.host: write ::1, without brackets",
  'server: { port: "80" }': '1:17 server.port: expected a whole number from 0 to 65535, got "80"; leave out the quotes',
  "server: { port: 80.5 }": "1:17 server.port: expected a whole number from 0 to 65535, got 80.5",
  'server: { port: "${WORD}" }':
    '1:17 server.port: expected a whole number from 0 to 65535, got "some word" from ${WORD}',
  "server: { port: [80] }": "1:17 server.port: expected a whole number from 0 to 65535, got a list",
  "server: { workers: many }": '1:20 server.workers: expected a whole number from 1 to 1024 or auto, got "many"',
  "server: { trustProxy: 10.0.0.0/8 }": '1:23 server.trustProxy: expected true or false or a list, got "10.0.0.0/8"',
  "server: { trustProxy: [10.0.0.0/33] }":
    '1:24 server.trustProxy[0]: "10.0.0.0/33" is not an address block such as 10.0.0.0/8 or fd00::/8',
  "server: { drainTimeout: 30 s }":
    '1:25 server.drainTimeout: expected a duration such as 250ms, 30s, 15m, 24h or 7d, got "30 s"; did you mean 30s?',
  "server: { drainTimeout: yes }":
    '1:25 server.drainTimeout: expected a duration such as 250ms, 30s, 15m, 24h or 7d, got "yes"',
  "server: { limits: { requestBody: 1MB } }":
    '1:34 server.limits.requestBody: expected a size such as 512KiB or 1MiB, got "1MB"; did you mean 1MiB?',
  "server: { limits: { requestBody: 2GiB } }": '1:34 server.limits.requestBody: must be at most 1GiB, got "2GiB"',
  "server: { limits: { headersTimeout: 90s } }":
    "1:37 server.limits.headersTimeout: is longer than requestTimeout (1m)",
  "server: { tls: }": "1:11 server.tls.cert: is required|1:11 server.tls.key: is required",
  "server: { port: 9090 }": "1:17 server.port: is the same as admin.port (9090)",
  "admin: { port: 8080 }": "1:16 admin.port: is the same as server.port (8080)",
  "admin: { host: 0.0.0.0 }":
    "1:16 admin.token: is required, because admin.host 0.0.0.0 can be reached from other hosts",
  "admin: { token: '', host: '::' }":
    "1:17 admin.token: is required, because admin.host :: can be reached from other hosts",
  "store: { type: reddis }": '1:16 store.type: expected embedded or redis, got "reddis"; did you mean redis?',
  "store: { url: redis://h }": "1:10 store.url: belongs to type: redis, and type is embedded",
  "store: { type: redis, path: x }": "1:23 store.path: belongs to type: embedded, and type is redis",
  "store: { type: redis, sentinel: { master: m } }": "1:33 store.sentinel.nodes: is required",
  "store: { type: redis, sentinel: { master: m, nodes: [h] }, cluster: { nodes: ['h:1'] } }":
    '1:54 store.sentinel.nodes[0]: expected host:port, got "h"|1:69 store.cluster: cannot be used together with sentinel',
  "store: { type: redis, url: 'redis://h/3', cluster: { nodes: ['h:1'] } }":
    "1:28 store.url: names database 3; a cluster has only 0",
  "store: { type: redis, locks: { nodes: ['redis://a', 'redis://b'] } }":
    "1:39 store.locks.nodes: needs an odd number of nodes: 2 fail as soon as 1 would",
  "store: { type: redis, requireNoEviction: off }":
    '1:42 store.requireNoEviction: expected true or false, got "off"; did you mean false, without quotes?',
  "logging: { level: verbose }":
    '1:19 logging.level: expected trace, debug, info, warn, error, fatal or silent, got "verbose"',
  "logging: { format: preety }": '1:20 logging.format: expected json or pretty, got "preety"; did you mean pretty?',
  "problems: { types: { key-resued: 'urn:x' } }":
    "1:22 problems.types.key-resued: unknown key; did you mean key-reused?",
  "problems: { typeBase: 'a b' }": '1:23 problems.typeBase: "a b" is not a URI',
};

t.test("what is wrong outside the routes is told at its value, an unknown key at the key", (t) => {
  for (const [line, told] of Object.entries(outside)) {
    t.same(mistakes(t, `${line}\n${route()}`, { env: { WORD: "some word" } }), told.split("|"), line);
  }
  t.end();
});

/** The fourth and further lines of a route, which begin in column 5 of line 5, and all that is told of them. */
const inRoute: Record<string, string> = {
  "idempotency: { lesae: 1s }": "5:20 routes[0].idempotency.lesae: unknown key; did you mean lease?",
  "idempotency: { maxLength: 9 }": "5:20 routes[0].idempotency.maxLength: unknown key; did you mean key.maxLength?",
  "idempotency: true": "5:18 routes[0].idempotency: expected settings below it (name: value), got one value",
  "idempotency: { lease: 99ms }": '5:27 routes[0].idempotency.lease: must be at least 100ms, got "99ms"',
  "idempotency: { retention: 0 }": "5:31 routes[0].idempotency.retention: must be at least 1ms, got 0",
  "idempotency: { maxWaiters: -1 }":
    "5:32 routes[0].idempotency.maxWaiters: expected a whole number from 0 to 1000000, got -1",
  "idempotency: { key: { from: Idempotency-Key } }":
    "5:33 routes[0].idempotency.key.from: expected header:NAME, query:NAME, path:NAME, cookie:NAME, form:NAME or body:/pointer; did you mean header:Idempotency-Key?",
  "idempotency: { key: { from: heder:K } }":
    '5:33 routes[0].idempotency.key.from: expected header:NAME, query:NAME, path:NAME, cookie:NAME, form:NAME or body:/pointer, got "heder:K"; did you mean header:K?',
  "idempotency: { key: { from: 'header:a b' } }": '5:33 routes[0].idempotency.key.from: "a b" is not a header name',
  "idempotency: { key: { from: header:Connection } }":
    "5:33 routes[0].idempotency.key.from: Connection belongs to one connection and cannot be used here",
  "idempotency: { key: { from: 'header:K?' } }":
    '5:33 routes[0].idempotency.key.from: a key takes no "?"; write header:K and key.required: false',
  "idempotency: { key: { from: body:order.id } }":
    '5:33 routes[0].idempotency.key.from: "order.id" is not a JSON pointer; did you mean /order/id?',
  "idempotency: { key: { from: path:id } }":
    "5:33 routes[0].idempotency.key.from: match.path /pay has no parameter :id",
  "idempotency: { key: { from: [header:K, header:k, 'nope:x'] } }":
    '5:44 routes[0].idempotency.key.from[1]: header:k is listed twice|5:54 routes[0].idempotency.key.from[2]: expected header:NAME, query:NAME, path:NAME, cookie:NAME, form:NAME or body:/pointer, got "nope:x"',
  "idempotency: { key: { from: [] } }": "5:33 routes[0].idempotency.key.from: needs at least one entry",
  "idempotency: { key: { pattern: '[a-' } }":
    "5:36 routes[0].idempotency.key.pattern: is not a regular expression: /[a-/: Unterminated character class",
  "idempotency: { key: { from: body:/id, forward: false } }":
    "5:52 routes[0].idempotency.key.forward: false is for a key in headers or the query: path, cookies and body are passed on as they came",
  "idempotency: { scope: header:authorization }":
    '5:27 routes[0].idempotency.scope: expected a list; did you mean ["header:authorization"]?',
  "idempotency: { key: { from: { firstOf: [] } } }":
    "5:44 routes[0].idempotency.key.from.firstOf: needs at least one entry",
  "idempotency: { key: { from: { firstOf: [header:K, header:k] } } }":
    "5:55 routes[0].idempotency.key.from.firstOf[1]: header:k is listed twice",
  "idempotency: { key: { from: { firstOff: [header:K] } } }":
    "5:33 routes[0].idempotency.key.from.firstOf: is required|5:35 routes[0].idempotency.key.from.firstOff: unknown key; did you mean firstOf?",
  "idempotency: { key: { from: { firstOf: [header:K, body:/k] }, forward: false } }":
    "5:76 routes[0].idempotency.key.forward: false is for a key in headers or the query: path, cookies and body are passed on as they came",
  "idempotency: { key: { from: 'cookie:a b' } }": '5:33 routes[0].idempotency.key.from: "a b" is not a cookie name',
  "idempotency: { key: { from: client } }":
    "5:33 routes[0].idempotency.key.from: expected header:NAME, query:NAME, path:NAME, cookie:NAME, form:NAME or body:/pointer; did you mean header:client?",
  "idempotency: { key: { maxAge: 1h, bornFrom: body:/at } }":
    '5:49 routes[0].idempotency.key.bornFrom: expected key or header:NAME, got "body:/at"',
  "idempotency: { fingerprint: { query: { ignored: [ts] } } }":
    "5:44 routes[0].idempotency.fingerprint.query.ignored: unknown key; did you mean ignore?",
  "idempotency: { scope: [cliant] }":
    '5:28 routes[0].idempotency.scope[0]: "cliant" is not a scope; did you mean client?',
  "idempotency: { scope: [client, 'client?'] }": "5:36 routes[0].idempotency.scope[1]: client is listed twice",
  "idempotency: { scope: ['path:tenant?'] }":
    "5:28 routes[0].idempotency.scope[0]: match.path /pay has no parameter :tenant",
  "idempotency: { fingerprint: { ignore: [/a] } }":
    "5:43 routes[0].idempotency.fingerprint.ignore: works with body: json only, and body is bytes",
  "idempotency: { fingerprint: { body: json, ignore: [a] } }":
    '5:56 routes[0].idempotency.fingerprint.ignore[0]: "a" is not a JSON pointer; did you mean /a?',
  "idempotency: { fingerprint: { body: json, ignore: [/a~2] } }":
    "5:56 routes[0].idempotency.fingerprint.ignore[0]: in a JSON pointer ~ is written ~0 and / is written ~1",
  "idempotency: { outcomes: { release: [500, 5xx], unknown: [4xx, 500, 5XX] } }":
    "5:68 routes[0].idempotency.outcomes.unknown[1]: 500 is in outcomes.release as well|5:73 routes[0].idempotency.outcomes.unknown[2]: 5XX is in outcomes.release as well",
  "idempotency: { outcomes: { unknown: [9xx, 5xy, '502'] } }":
    '5:42 routes[0].idempotency.outcomes.unknown[0]: expected a whole number from 100 to 599 or a class such as 5xx, got "9xx"|5:47 routes[0].idempotency.outcomes.unknown[1]: expected a whole number from 100 to 599 or a class such as 5xx, got "5xy"|5:52 routes[0].idempotency.outcomes.unknown[2]: expected a whole number from 100 to 599 or a class such as 5xx, got "502"',
  "idempotency: { outcomes: { when: [{ as: release }, { status: 503, equals: x, as: final }, { status: 700, as: unknown }, { status: 503 }] } }":
    "5:39 routes[0].idempotency.outcomes.when[0]: fits every answer: name a status, a header or a body pointer|5:79 routes[0].idempotency.outcomes.when[1].equals: needs a header or a body pointer to compare|5:105 routes[0].idempotency.outcomes.when[2].status: expected a whole number from 100 to 599 or a class such as 5xx, got 700|5:125 routes[0].idempotency.outcomes.when[3].as: is required",
  "idempotency: { outcomes: { when: [{ header: a, body: /b, as: release }, { body: b, as: release }, { header: a, equals: x, present: false, as: done }] } }":
    '5:58 routes[0].idempotency.outcomes.when[0].body: and header are two rules: name one of them|5:85 routes[0].idempotency.outcomes.when[1].body: "b" is not a JSON pointer; did you mean /b?|5:147 routes[0].idempotency.outcomes.when[2].as: expected release, unknown or final, got "done"',
  "idempotency: { outcomes: { release: [500, 600, 500], unknown: [500] } }":
    "5:47 routes[0].idempotency.outcomes.release[1]: expected a whole number from 100 to 599 or a class such as 5xx, got 600|5:52 routes[0].idempotency.outcomes.release[2]: is listed twice|5:68 routes[0].idempotency.outcomes.unknown[0]: 500 is in outcomes.release as well",
  "idempotency: { inDoubt: probe }":
    "5:29 routes[0].idempotency.inDoubt: probe needs to know whom to ask: set idempotency.probe.url",
  "idempotency: { probe: { url: 'http://h/' } }":
    "5:27 routes[0].idempotency.probe: works with inDoubt: probe only, and inDoubt is hold",
  "idempotency: { inDoubt: probe, probe: { method: GTE } }":
    '5:43 routes[0].idempotency.probe.url: is required|5:53 routes[0].idempotency.probe.method: "GTE" is not a method that can be served; did you mean GET?',
  "idempotency: { inDoubt: probe, probe: { url: /ask, done: [200], notDone: [200] } }":
    "5:50 routes[0].idempotency.probe.url: expected a URL such as http://legacy-payments:3000|5:79 routes[0].idempotency.probe.notDone[0]: 200 is in done as well",
  "idempotency: { inDoubt: probe, probe: { url: 'http://h/{path.id}/{kye}' } }":
    "5:50 routes[0].idempotency.probe.url: {kye} is not a placeholder; there are {key}, {path.NAME} and {body:/pointer}",
  "idempotency: { inDoubt: probe, probe: { url: 'http://h/{path.id}' } }":
    "5:50 routes[0].idempotency.probe.url: match.path /pay has no parameter :id",
  "idempotency: { inDoubt: probe, probe: { url: 'http://{key}/x' } }":
    "5:50 routes[0].idempotency.probe.url: takes placeholders only behind its host and a slash",
  "idempotency: { inDoubt: probe, probe: { url: 'http://h/{key' } }":
    "5:50 routes[0].idempotency.probe.url: holds a single { or }; written literally they are %7B and %7D",
  "idempotency: { inDoubt: probe, probe: { url: 'http://h/{body:a}' } }":
    '5:50 routes[0].idempotency.probe.url: {body:a}: "a" is not a JSON pointer; did you mean /a?',
  "idempotency: { replayHeader: 'X Y' }": '5:34 routes[0].idempotency.replayHeader: "X Y" is not a header name',
  "idempotency: { mode: observed }":
    '5:26 routes[0].idempotency.mode: expected enforce or observe, got "observed"; did you mean observe?',
};

t.test("what is wrong in a route is told at its value", (t) => {
  for (const [line, told] of Object.entries(inRoute)) t.same(mistakes(t, route(line)), told.split("|"), line);
  t.end();
});

const matches: Record<string, string> = {
  "{ path: /a, methods: [post] }":
    '3:34 routes[0].match.methods[0]: "post" is not a method that can be served; did you mean POST?',
  "{ path: /a, methods: [] }": "3:33 routes[0].match.methods: needs at least one entry",
  "{ path: /a, methods: [CONNECT] }": '3:34 routes[0].match.methods[0]: "CONNECT" is not a method that can be served',
  "{ path: /a, host: 'a:80' }": "3:30 routes[0].match.host: takes a host without a port",
  "{ path: /a, host: '*.a' }": "3:30 routes[0].match.host: takes one exact host; leave it out to match every host",
  "{ path: /a, ambiguousPaths: forward }":
    "3:40 routes[0].match.ambiguousPaths: forward is for routes without idempotency: another spelling of a path must not slip past",
  "{ path: pay }": '3:20 routes[0].match.path: must begin with "/"',
  "{ path: '*' }": '3:20 routes[0].match.path: must begin with "/"; write /* for every path',
  "{ path: /a?b=1 }": "3:20 routes[0].match.path: takes a path alone, without query or fragment",
  "{ path: /a/*/b }": "3:20 routes[0].match.path: takes * only alone and at the end, as in /v1/*",
  "{ path: '/:a/:a' }": "3:20 routes[0].match.path: names the parameter :a twice",
  "{ path: '/:' }": '3:20 routes[0].match.path: ":" is not a parameter such as :id',
  "{ path: /a/%2E%2e/b }":
    "3:20 routes[0].match.path: holds the dot segment %2E%2e: such requests are refused as ambiguous",
  "{ path: /a//b }": "3:20 routes[0].match.path: holds //: such requests are refused as ambiguous",
  "{ path: /a%2fb }":
    "3:20 routes[0].match.path: holds a backslash, %2f, %5c or %00: such requests are refused as ambiguous",
  "{ path: /a;v=1 }": "3:20 routes[0].match.path: may not hold ;parameters: they are dropped before a path is matched",
  "{ path: /a%zz }": "3:20 routes[0].match.path: holds a % that is not followed by two hexadecimal digits",
  "{ path: /a b }":
    "3:20 routes[0].match.path: holds a space or a control character, which is written as %20 and the like",
  "{ path: /.well-known/idempotency }": "3:20 routes[0].match.path: is answered by the gateway itself",
  "{ host: a }": "3:12 routes[0].match.path: is required",
};

t.test("a match that could never match, or only by chance, is refused", (t) => {
  for (const [match, told] of Object.entries(matches)) {
    t.same(mistakes(t, route("idempotency: {}").replace("{ path: /pay }", match)), [told], match);
  }
  t.end();
});

const upstreams: Record<string, string> = {
  "localhost:3000": "did you mean http://localhost:3000?",
  "ftp://h": "got one with ftp://",
  "http://h/api": "may not hold a path, requests keep theirs: write http://h",
  "http://h?x=1": "may not hold a query or a fragment; write http://h",
  "http://u:s3cret@h": "may not hold a user or a password",
  "http://h:99999": "expected a URL such as http://legacy-payments:3000",
};

t.test("an upstream is an origin and nothing more", (t) => {
  for (const [url, told] of Object.entries(upstreams)) {
    const [only, ...more] = mistakes(t, route().replace("http://api:3000", url));
    t.match(only, `4:22 routes[0].upstream.url: `);
    t.ok(only?.endsWith(told), `${url}: ${told}`);
    t.notMatch(only, "s3cret");
    t.same(more, []);
  }
  t.same(mistakes(t, "routes: [{ name: a, match: { path: /a } }]"), [
    "1:10 routes[0].upstream.url: is required, here or in defaults.upstream",
  ]);
  t.end();
});

t.test("routes that take the very same requests are refused, those that the router tells apart are not", (t) => {
  const pair = (first: string, second: string) =>
    mistakes(
      t,
      `defaults: { upstream: { url: http://api } }
routes:
  - { name: a, ${first} }
  - { name: b, ${second} }
`,
    );
  const told = [/^4:\d+ routes\[1\]\.match\.path: takes the same requests as routes\[0\] "a" \(line 3\)$/];
  t.match(pair("match: { path: '/v1/:id' }", "match: { path: '/V1/:order/' }"), told);
  t.match(pair("match: { path: /a, methods: [GET, PUT] }", "match: { path: /%61, methods: [PUT] }"), told);
  t.match(pair("match: { path: /a, host: h.example }", "match: { path: /a, host: H.example }"), told);
  t.match(pair("match: { path: /a }, idempotency: {}", "match: { path: /a, methods: [PATCH] }"), told);
  t.same(
    pair("match: { path: /a }, idempotency: {}", "match: { path: /a }"),
    [],
    "named methods go before all methods",
  );
  t.same(pair("match: { path: /a }", "match: { path: /a, host: h.example }"), []);
  t.same(pair("match: { path: /a }", "match: { path: /A, caseSensitive: true }"), []);
  t.same(pair("match: { path: /a/* }", "match: { path: '/a/:b' }"), []);
  t.end();
});

t.test("a mistake in defaults is told there, once, and no route is blamed for it", (t) => {
  const text = `
defaults:
  upstream: { url: nowhere/ }
  idempotency: { inDoubt: probe, probe: { url: "http://h/{path.id}" }, fingerprint: { ignore: [/x] } }
routes:
  - { name: a, match: { path: /a }, idempotency: {} }
  - { name: b, match: { path: /b }, idempotency: {} }
  - { name: c, match: { path: "/c/:id" }, idempotency: { fingerprint: { body: none } } }
`;
  t.same(mistakes(t, text), [
    "3:20 defaults.upstream.url: expected a URL such as http://legacy-payments:3000; did you mean http://nowhere/?",
    '4:48 defaults.idempotency.probe.url: match.path /a of route "a" has no parameter :id',
    "4:95 defaults.idempotency.fingerprint.ignore: works with body: json only, and body is bytes",
    "4:95 defaults.idempotency.fingerprint.ignore: works with body: json only, and body is none",
  ]);
  t.end();
});

function run(args: readonly string[], cwd: string, env = {}) {
  const written = { stdout: "", stderr: "" };
  const to = (name: keyof typeof written) => ({ write: (text: string) => (written[name] += text) });
  return { code: check(args, { stdout: to("stdout"), stderr: to("stderr"), env, cwd }), ...written };
}

t.test("check prints what it finds on stdout and nothing else, and says so with its exit code", (t) => {
  const cwd = t.testdir({
    "good.yaml": route("idempotency: { lease: 400ms }"),
    "redis.yaml": `store: { type: redis }\n${route("idempotency: { lease: 400ms }")}`,
    "bad.yaml": "server: { prot: 1 }\nroutes: 5\n",
  });
  t.same(run(["--config", "good.yaml"], cwd), {
    code: 0,
    stdout: "good.yaml: ok, 1 route (1 protected)\n",
    stderr: "",
  });
  t.same(run(["--config", "bad.yaml"], cwd), {
    code: 1,
    stdout:
      "bad.yaml:1:11 server.prot: unknown key; did you mean port?\nbad.yaml:2:9 routes: expected a list, got one value\n",
    stderr: "",
  });
  t.same(run(["--config=redis.yaml"], cwd), {
    code: 0,
    stdout:
      "redis.yaml:6:27 routes[0].idempotency.lease: warning: is not longer than store.commandTimeout (500ms)\nredis.yaml: ok, 1 route (1 protected)\n",
    stderr: "",
  });
  t.same(run(["--config", "none.yaml"], cwd), {
    code: 1,
    stdout: "",
    stderr: "check: cannot read none.yaml: no such file\n",
  });
  for (const args of [[], ["--config"], ["--confg", "x"], ["stray"]]) {
    const { code, stdout, stderr } = run(args, cwd);
    t.match({ code, stdout, stderr }, { code: 2, stdout: "", stderr: /^check: .*\n\nusage: / }, args.join(" "));
  }
  t.match(run(["--help"], cwd), { code: 0, stdout: /^usage: /, stderr: "" });
  t.end();
});

t.test("an upstream that is the gateway itself is refused", (t) => {
  const at = (url: string, server = "{ port: 8080 }", admin = "{ port: 9090 }") =>
    mistakes(
      t,
      `server: ${server}\nadmin: ${admin}\nroutes:\n  - { name: a, match: { path: /* }, upstream: { url: "${url}" } }\n`,
    );
  const itself = (name: string, port: number) => [
    `4:54 routes[0].upstream.url: is the gateway itself: it listens there (${name}.port ${port})`,
  ];
  for (const host of ["localhost", "LOCALHOST", "127.0.0.1", "127.1.2.3", "[::1]", "0.0.0.0", "[::]", hostname()]) {
    t.same(at(`http://${host}:8080`), itself("server", 8080), host);
  }
  t.same(at("http://localhost:9090"), itself("admin", 9090));
  t.same(at("http://localhost", "{ port: 80 }"), itself("server", 80), "a port that is not written");
  t.same(at("http://10.0.0.5:8080", "{ host: 10.0.0.5, port: 8080 }"), itself("server", 8080));
  t.same(at("http://localhost:8080", "{ host: 10.0.0.5, port: 8080 }"), [], "another address of the same host");
  for (const url of ["http://localhost:3000", "http://api:8080", "http://10.0.0.5:8080"]) t.same(at(url), [], url);
  t.end();
});

t.test("cors names origins as browsers do, and credentials need names", (t) => {
  const at = (cors: string) =>
    mistakes(t, `routes:\n  - { name: a, match: { path: /* }, upstream: { url: "http://a" }, cors: ${cors} }\n`);
  for (const origin of ["https://shop.example", "http://localhost:3000", "*", "'null'", "capacitor://localhost"]) {
    t.same(at(`{ allowOrigins: [${origin === "*" ? "'*'" : origin}] }`), [], origin);
  }
  for (const origin of [
    "shop.example",
    "https://",
    "https://a/b",
    "https://Shop.example",
    "https://a:443",
    "https://a,https://b",
  ]) {
    t.equal(at(`{ allowOrigins: ["${origin}"] }`).length, 1, origin);
  }
  t.match(at("{ allowOrigins: ['*'], allowCredentials: true }").join(), /allowCredentials: needs origins by name/);
  t.end();
});
