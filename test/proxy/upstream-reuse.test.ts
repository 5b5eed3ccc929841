import type { Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import t from "tap";
import { post } from "../e2e/client.js";
import { freePort } from "../e2e/free-port.js";
import { RawClient } from "../e2e/raw-client.js";
import { Upstream } from "../e2e/upstream.js";
import { guarded, open, SampleGateway } from "../spec/gateway.js";
import { octets, reset } from "../spec/octets.js";
import { type Asked, ok, RawUpstream, say } from "./plain/raw-upstream.js";

// Which connection a request takes, who else may be sent over it, and when it is sent once more.

const upstream = await RawUpstream.start(t);
const to = `http://127.0.0.1:${upstream.port}`;
const quick = { timeout: "500ms" };
const gateway = await SampleGateway.start(t, {
  routes: [
    guarded("/pay", to, {}, quick),
    guarded("/once/pay", to, {}, { keepAlive: 0 }),
    guarded("/get", to, {}, {}),
    open("/once/*", to, { keepAlive: 0 }),
    open("/*", to, quick),
  ].map((route) => {
    const { name } = route as { name: string };
    return name === "get" ? { ...route, match: { path: "/get", methods: ["GET", "POST"] } } : route;
  }),
});
const { port, url } = gateway;
let keys = 0;
const request = (method: string, path: string, ...lines: string[]) => {
  const body = lines.find((line) => !line.includes(":")) ?? "";
  const fields = [`Host: h`, `Idempotency-Key: k${++keys}`, ...lines.filter((line) => line.includes(":"))];
  const length =
    method === "GET" || method === "HEAD"
      ? body === ""
        ? []
        : [`Content-Length: ${body.length}`]
      : [`Content-Length: ${body.length}`];
  return `${[`${method} ${path} HTTP/1.1`, ...fields, ...length, "", ""].join("\r\n")}${body}`;
};
/** Which of the upstream's connections answered. */
const connections = (from: number) => upstream.asked.slice(from).map(({ connection }) => connection);
const lanes = { protected: "/pay", unprotected: "/bare" };

t.test(
  "an upstream's connection on which NTLM or its kin was seen belongs to one client and ends with it",
  async (t) => {
    const users = new Map<Socket, string>();
    upstream.answer = ({ socket, head, body }) => {
      const user = /\r\nAuthorization: NTLM (\w+)/i.exec(head)?.[1];
      if (user === "type1") return say(socket, ok("", "WWW-Authenticate: NTLM type2").replace("200 OK", "401 No"));
      if (user !== undefined) users.set(socket, user);
      const known = users.get(socket);
      if (known === undefined) return say(socket, ok("", "WWW-Authenticate: NTLM").replace("200 OK", "401 No"));
      say(socket, ok(`${known} ${body}`));
    };
    for (const [lane, path] of Object.entries(lanes)) {
      for (const method of ["POST", "GET"]) {
        if (lane === "protected" && method === "GET") continue;
        const alice = await RawClient.connect(port);
        const ask = async (client: RawClient, ...lines: string[]) => {
          client.write(request(method, path, ...lines));
          const { status, body } = await client.response();
          return `${status} ${body.toString()}`.trim();
        };
        t.equal(await ask(alice), "401");
        t.equal(await ask(alice, "Authorization: NTLM type1"), "401");
        t.equal(await ask(alice, "Authorization: NTLM alice"), "200 alice", `${lane} ${method}: the handshake works`);
        t.equal(await ask(alice), "200 alice", "and holds for what she sends later");
        const others = await Promise.all(Array.from({ length: 4 }, () => RawClient.connect(port)));
        for (const other of others) t.equal(await ask(other), "401", "nobody else is alice");
        t.equal(await ask(alice), "200 alice");
        const bound = upstream.asked.at(-1)?.socket;
        alice.hangUp();
        await gateway.until(
          "it ends with her connection",
          () => bound?.readableEnded === true || bound?.destroyed === true,
        );
        for (const other of others) t.equal(await ask(other), "401");
        for (const other of others) other.hangUp();
      }
    }
  },
);

t.test("every sign of such a scheme, in requests and in answers, keeps a connection from others", async (t) => {
  for (const path of Object.values(lanes)) {
    for (const [name, sent, answered] of [
      ["a request's Negotiate", "Authorization: Negotiate YII=", "X: 1"],
      ["a request's Kerberos", "authorization: Kerberos a", "X: 1"],
      ["a request's NTLM for a proxy", "Proxy-Authorization: NTLM a", "X: 1"],
      ["a challenge", "X: 1", "WWW-Authenticate: Negotiate"],
      ["one of several challenges", "X: 1", 'www-authenticate: Basic realm="a", NTLM'],
      ["a challenge of a proxy", "X: 1", "Proxy-Authenticate: NTLM"],
    ] as const) {
      upstream.answer = ({ socket }) => say(socket, ok("", answered));
      const client = await RawClient.connect(port);
      const from = upstream.asked.length;
      client.write(request("POST", path, sent));
      await client.response();
      upstream.answer = ({ socket }) => say(socket, ok(""));
      for (let turn = 0; turn < 3; turn++) await post(url + path, { key: `other-${++keys}` });
      const [bound, ...others] = connections(from);
      t.notOk(others.includes(bound!), `${path}: ${name}`);
      client.hangUp();
    }
  }
  const from = upstream.asked.length;
  for (let turn = 0; turn < 2; turn++)
    await post(`${url}/pay`, { key: `plain-${++keys}`, headers: { authorization: "Basic YTpi" } });
  t.equal(new Set(connections(from)).size, 1, "others share theirs");
});

t.test("keepAlive: 0 takes a connection for each request, and says so; else it is kept", async (t) => {
  upstream.answer = ({ socket }) => say(socket, ok(""));
  for (const path of ["/once/pay", "/once/bare"]) {
    const from = upstream.asked.length;
    for (let turn = 0; turn < 3; turn++) await post(url + path, { key: `once-${++keys}` });
    t.equal(new Set(connections(from)).size, 3, path);
    for (const { head } of upstream.asked.slice(from)) t.match(head, /\r\nconnection: close\r\n/i);
  }
  for (const path of Object.values(lanes)) {
    const from = upstream.asked.length;
    for (let turn = 0; turn < 3; turn++) await post(url + path, { key: `kept-${++keys}` });
    t.equal(new Set(connections(from)).size, 1, path);
  }
});

t.test("a GET whose used connection breaks without a word is sent once more, and nothing else is", async (t) => {
  const breaking = (word: string) => (asked: Asked) => {
    const isFirst = upstream.asked.filter(({ connection }) => connection === asked.connection).length === 1;
    if (isFirst) return say(asked.socket, ok(""));
    if (word !== "") say(asked.socket, word);
    setImmediate(() => setImmediate(() => reset(asked.socket)));
  };
  const statusOf = async (...of: Parameters<typeof request>) => {
    // Both ends of the reset are in one process: the connection before has to be known as used.
    const client = await RawClient.connect(port);
    client.write(request(...of));
    const { status } = await client.response(of[0]);
    client.hangUp();
    return status;
  };
  for (const [name, expected, word, ...of] of [
    ["a GET", 200, "", "GET", "/bare"],
    ["an answer that had begun", 502, "H", "GET", "/bare"],
    ["a GET with a body", 502, "", "GET", "/bare", "x"],
    ["a GET that means another method", 502, "", "GET", "/bare", "X-HTTP-Method-Override: DELETE"],
    ["OPTIONS", 502, "", "OPTIONS", "/bare"],
    ["POST", 502, "", "POST", "/bare"],
    ["a protected GET", 502, "", "GET", "/get"],
    ["a protected POST", 502, "", "POST", "/pay"],
  ] as const) {
    const [method, path, ...lines] = of;
    upstream.answer = ({ socket }) => say(socket, ok(""));
    await statusOf("POST", path);
    upstream.answer = breaking(word);
    const before = upstream.asked.length;
    t.equal(await statusOf(method, path, ...lines), expected, name);
    t.equal(upstream.asked.length - before, expected === 200 ? 2 : 1, name);
  }
  upstream.answer = ({ socket }) => say(socket, ok(""));
  await statusOf("GET", "/bare");
  upstream.answer = ({ socket }) => reset(socket);
  const before = upstream.asked.length;
  t.equal(await statusOf("GET", "/bare"), 502, "not more often than once");
  t.equal(upstream.asked.length - before, 2);
});

t.test("an answer that may have no content and announces some ends its connection, on every lane", async (t) => {
  for (const path of Object.values(lanes)) {
    for (const status of ["204 No Content", "205 Reset Content", "304 Not Modified"]) {
      upstream.answer = ({ socket, nth }) => {
        say(
          socket,
          ok("foreign")
            .replace("200 OK", status)
            .replace("foreign", status.startsWith("205") ? "foreign" : ""),
        );
        if (!status.startsWith("205")) setTimeout(() => !socket.destroyed && say(socket, ok(`late ${nth}`)), 10);
      };
      const from = upstream.asked.length;
      t.equal((await post(url + path, { key: `bodiless-${++keys}` })).status, Number.parseInt(status, 10), path);
      upstream.answer = ({ socket }) => say(socket, ok("mine"));
      await pause(5);
      t.equal((await post(url + path, { key: `after-${++keys}` })).text, "mine", `${path} ${status}`);
      t.equal(new Set(connections(from)).size, 2, `${path} ${status}`);
    }
  }
});

t.test("one length given twice is one, on every lane; different ones are none", async (t) => {
  for (const path of [...Object.values(lanes), "/once/pay"]) {
    for (const [lengths, expected] of [
      [["3", "3"], 200],
      [["3, 3"], 200],
      [["3,3", "3"], 200],
      [["3", "4"], 502],
      [["3, 4"], 502],
    ] as const) {
      const text = ["HTTP/1.1 200 OK", ...lengths.map((of) => `Content-Length: ${of}`), "X: 1", "", "abc"].join("\r\n");
      upstream.answer = ({ socket }) => {
        say(socket, text.slice(0, 30));
        setImmediate(() => setImmediate(() => say(socket, text.slice(30))));
      };
      const reply = await post(url + path, { key: `twice-${++keys}` });
      t.equal(reply.status, expected, `${path} ${lengths}`);
      if (expected === 200) t.equal(reply.text, "abc");
    }
  }
});

t.test("interim answers pass on unprotected routes, in their turn, and on no others", async (t) => {
  upstream.answer = ({ socket, head }) => {
    const early = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n";
    say(socket, early);
    setTimeout(() => say(socket, ok(head.slice(0, head.indexOf(" HTTP")))), 5);
  };
  const client = await RawClient.connect(port);
  for (const path of ["/bare", "/two"]) client.write(`GET ${path} HTTP/1.1\r\nHost: h\r\n\r\n`);
  for (const path of ["/bare", "/two"]) {
    const early = await client.head();
    t.equal(early.status, 103, path);
    t.match(early, { headers: [["Link", "</a>"]] });
    t.equal((await client.head()).status, 102);
    t.equal((await client.response()).body.toString(), `GET ${path}`);
  }
  client.write(request("POST", "/pay"));
  t.equal((await client.response()).status, 200);
  client.write("GET /bare HTTP/1.0\r\nHost: h\r\n\r\n");
  t.equal((await client.response()).status, 200, "a client of HTTP/1.0 knows none");
  client.hangUp();
});

t.test("while nothing was sent it is tried again, for as long as the route says and the lease lasts", async (t) => {
  const late = await freePort();
  const to = `http://127.0.0.1:${late}`;
  const patient = await SampleGateway.start(t, {
    routes: [
      guarded("/pay", to, {}, { retryUnsent: "10s", timeout: "2s" }),
      guarded("/brief", to, {}, { retryUnsent: "150ms" }),
      open("/*", to, { retryUnsent: "10s", timeout: "2s" }),
    ],
  });
  t.match(await post(`${patient.url}/brief`, { key: "b" }), { status: 502, code: "upstream-unreachable" });
  t.ok(patient.seen("upstreamRetry").length > 0);
  const asked = [
    post(`${patient.url}/pay`, { key: "p", body: "paid" }),
    post(`${patient.url}/bare`, { body: "x".repeat(100_000) }),
  ];
  await pause(300);
  const { createServer } = await import("node:http");
  const server = createServer((request, response) => {
    let bytes = 0;
    request.on("data", (part) => {
      bytes += part.length;
    });
    request.on("end", () => response.end(String(bytes)));
  }).listen(late, "127.0.0.1");
  t.teardown(() => void server.close().closeAllConnections());
  const [paid, bare] = await Promise.all(asked);
  t.match(paid, { status: 200, text: "4" });
  t.match(bare, { status: 200, text: "100000" });
});

t.test("a status below 100 is passed on to no client", async (t) => {
  const upstream = await Upstream.start(t);
  const gateway = await SampleGateway.start(t, { routes: [open("/*", upstream.url)] });
  for (const status of ["099", "000"]) {
    upstream.on(`/low-${status}`, octets(`HTTP/1.1 ${status} Low\r\nContent-Length: 3\r\n\r\nlow`));
    for (const method of ["GET", "POST"]) {
      const { status: got } = await RawClient.exchange(gateway.port, `${method} /low-${status} HTTP/1.1\r\nHost: h`);
      t.equal(got, 502, `${method} ${status}`);
    }
  }
});
