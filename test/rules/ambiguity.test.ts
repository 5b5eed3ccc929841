import fc from "fast-check";
import t from "tap";
import { maxHeaderFields, readHead, refuseForRoute } from "../../src/rules/ambiguity.js";
import { readPath } from "../../src/rules/path.js";
import { runs } from "../property-runs.js";
import { guarded, headOf, open, requestOf, routing } from "./requests.js";

const codeOf = (changes: Parameters<typeof requestOf>[1] = {}, target = "/a") => {
  const head = readHead(requestOf(target, changes));
  return head.kind === "refused" ? head.problem.code : "head";
};
const withFields = (...rawHeaders: string[]) => codeOf({ rawHeaders: ["Host", "a", ...rawHeaders] });

t.test("every spelling of a protected path is protected, refused, or another path to any upstream", async (t) => {
  const route = routing([guarded("/payments"), open("/*")]);
  const spellings: Record<string, readonly string[]> = {
    "guarded /payments": [
      "/payments",
      "/payments?",
      "/payments?x=%2f/../#".replace("#", ""),
      "/%70ayments",
      "/pay%6Dents",
      "/pay%6dents",
      "/payments/",
      "/Payments",
      "/PAYMENTS",
      "/payments;a",
      "/payments;a=b/",
      "/payments/;x",
      "http://api.example.com/payments",
      "HTTP://API.Example.com:80/payments/",
    ],
    "request-ambiguous": [
      "/./payments",
      "/%2e/payments",
      "/%2E%2e/payments",
      "/x/../payments",
      "/x/..;y/payments",
      "/x/..%3by/payments",
      "/x/..%2fpayments",
      "/x%5c..%5cpayments",
      "/x/%252e%252e/payments",
      "/x/%25252e%25252e/payments",
      "/..%20/payments",
      "/payments/.",
      "/payments/..",
      "/payments/.;x",
      "//payments",
      "/payments//",
      "/;/payments",
      "/;a=b/payments",
      "/%2fpayments",
      "/payments%2f",
      "/payments%2F",
      "/%5cpayments",
      "/payments%5C",
      "/payments\\",
      "\\payments",
      "/payments%00",
      "/payments%2500",
      "/payments#x",
      "/payments?x#y",
      "/payments%",
      "/payments%2",
      "/payments%zz",
      "/payments%u002f",
      "/payments%c0%af",
      "/payments/%c0%ae",
      "/payments/%e0%80%ae",
      "/payments\x00",
      "/payments\t",
      "/payments ",
      "/payments\x7f",
      "/payments%20",
      "/payments.",
      "/payments%0a",
      "/payments%09",
      "/payments%0d%0aX:%20y",
      "/payments%20HTTP/1.1%0d%0aX:%20y",
      "/x%0dy",
      "/x%0Ay",
      "/x%1fy",
      "/x%250ay",
      "/x%7f",
      "/payments.json",
      "/payments.JSON",
      "/payments.x",
      "/payments.tar.gz",
      "/payments%2ejson",
      "/payments%252ejson",
      "/payments.json/",
      "/payments.json;x",
      "/payments.json?x",
      "/payments.json%3Fx",
      "/payments%3Fx",
      "/payments%3fx/y",
      "/payments%23x",
      "/payments%253Fx",
      "/payments%25253Fx",
      "/payments%2523x",
      "/payments/%3F",
      "/payments/%23",
      "/payments%3Fa%23b",
      "/payments%23a%3Fb",
      "/payments%20x",
      "/payments%2520x",
      "/payments%20HTTP/1.1",
      "/%20payments",
      "/%2520payments",
      "/%20/payments",
      "/%2570ay%6dents%3F",
      "/x/..%3Fy",
      "/x/..%23",
      "/x/..%20y",
      "/x/%20../payments",
      "/payments%3b",
      "/payments%3Bx",
      "/payments%252f",
      "/%2570ayments",
      "/%25%37%30ayments",
      "/%252570ayments",
      "/%2525252570ayments",
      "http://evil.example.com/payments",
      "https://api.example.com:80/payments",
      "http://api.example.com@evil/payments",
      "http://user@api.example.com/payments",
      "http:///payments",
      "http:/payments",
      "ftp://api.example.com/payments",
      "api.example.com:80",
      "payments",
      "",
      "*",
      "/\u0170ayments",
    ],
    "open /*": [
      "/paymentsx",
      "/payments%2Cx",
      "/payments/x.json",
      "/payments.json/x",
      "/payments/1",
      "/p%25",
      "/...x",
      "/.well-known/x",
      "/",
    ],
  };
  for (const [expected, targets] of Object.entries(spellings)) {
    for (const target of targets) t.equal(route(requestOf(target)), expected, JSON.stringify(target));
  }
});

t.test("where every reading leads to the same protected route nothing is refused for it", async (t) => {
  const route = routing([guarded("/*"), open("/*")]);
  for (const target of ["/payments.", "/a%20", "/%252561", "/a%3Bb", "/50%25ab"]) {
    t.equal(route(requestOf(target)), "guarded /*", target);
    t.equal(route(requestOf(target, { method: "GET" })), "open /*", target);
  }
  for (const target of ["/a/../b", "/a/.%0a./b", "/a/%2e%09/b", "/a//b", "/a%2fb", "/a%00"])
    t.equal(route(requestOf(target)), "request-ambiguous", target);
});

t.test("two protected routes for two readings are refused as well", async (t) => {
  const route = routing([guarded("/a"), guarded("/:b")]);
  t.equal(route(requestOf("/a%20")), "request-ambiguous");
  t.equal(route(requestOf("/b%20")), "guarded /:b");
  t.equal(routing([open("/a"), guarded("/:b")])(requestOf("/a%20")), "guarded /:b", "an unprotected one does no harm");
  for (const target of ["/pay%20/in", "/pay./in", "/pay;x/in%20"]) {
    t.equal(routing([guarded("/pay/in"), open("/*")])(requestOf(target)), "request-ambiguous", target);
  }
});

t.test("ambiguousPaths: auto and forward let %2f, %5c and // through where no reading is protected", async (t) => {
  const lifts = { ambiguousPaths: "forward" } as const;
  const route = routing([
    open("/projects/:id/issues", lifts),
    open("/files/*", lifts),
    open("/auto/*"),
    open("/strict/*", { ambiguousPaths: "reject" }),
    guarded("/projects/secret/issues"),
    guarded("/payments"),
    open("/*", lifts),
  ]);
  const expected: Record<string, string> = {
    "/projects/group%2Fname/issues": "open /projects/:id/issues",
    "/projects/group%5Cname/issues": "open /projects/:id/issues",
    "/files//a": "open /files/*",
    "/files/a%2f%2fb": "open /files/*",
    "/auto//a": "open /auto/*",
    "/auto/a%2fb": "open /auto/*",
    "/auto/a%5Cb%252fc": "open /auto/*",
    "/strict//a": "request-ambiguous",
    "/strict/a%2fb": "request-ambiguous",
    "/projects/secret%2f/issues": "request-ambiguous",
    "/projects//secret/issues": "request-ambiguous",
    "/projects/secret%2Fissues": "request-ambiguous",
    "/projects%5csecret%5cissues": "request-ambiguous",
    "//payments": "request-ambiguous",
    "/%2Fpayments": "request-ambiguous",
    "/payments%5c": "request-ambiguous",
    "/payments%252f": "request-ambiguous",
    "/payments/%2f%2f;x": "request-ambiguous",
    "/files/..%2fpayments": "request-ambiguous",
    "/files//../payments": "request-ambiguous",
    "/files/%2e%2e": "request-ambiguous",
    "/files/..;x/a": "request-ambiguous",
    "/files/a\\b": "request-ambiguous",
  };
  for (const [target, name] of Object.entries(expected)) t.equal(route(requestOf(target)), name, target);
  t.equal(route(requestOf("//payments", { method: "GET" })), "open /*", "protected for other methods only");
  const impossible = routing([guarded("/a/*", lifts), open("/*", lifts)]);
  t.equal(impossible(requestOf("/a/b%2fc")), "request-ambiguous", "never on a protected route");
});

t.test("property: no upstream's reading of a path reaches the protected one unprotected", async () => {
  const lifts = { ambiguousPaths: "forward" } as const;
  const routers = [
    routing([guarded("/pay/in"), open("/*")]),
    routing([guarded("/pay/in"), open("/*", lifts), open("/:x/*", lifts), open("/:x/:y", lifts)]),
  ];
  const tokens = [
    "/",
    "/",
    "pay",
    "in",
    "PAY",
    "p%61y",
    "%2570ay",
    "%2f",
    "%252F",
    "%5c",
    "%255c",
    "\\",
    ".",
    "..",
    "%2e",
    "%252e",
  ];
  const more = [";x", ";", "%3b", "%253b", "%20", "%0A", "x", "%", "%25", "61", "2f", "%00", "%c0%af"];
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...tokens, ...more), { maxLength: 9 }), (parts) => {
      const target = `/${parts.join("")}`;
      if (!readings(target).has("/pay/in")) return true;
      return routers.every((route) => !route(requestOf(target)).startsWith("open"));
    }),
    runs(1000, 10_000),
  );
  // And that the property is not idle: tokens around the protected path, so that most are read as it.
  const around = [
    "",
    "",
    "/",
    "%2f",
    "%5c",
    ";x",
    "%3b",
    "%20",
    ".",
    "/.",
    "/./",
    "%252f",
    "//",
    "/;a",
    "%0a",
    "/..;/",
  ];
  const between = fc.constantFrom(...around, ";%2f", "%3b%2fx", "%253b%252fx", ";/", "/%3b", "%2520", "/x/../", "/%0a");
  fc.assert(
    fc.property(
      fc.tuple(
        between,
        between,
        between,
        fc.constantFrom("pay", "p%61y", "p%2561y", "PAY"),
        fc.constantFrom("in", "%69n"),
      ),
      ([before, middle, after, pay, word]) => {
        const target = `/${before}${pay}/${middle}${word}${after}`;
        if (!readings(target).has("/pay/in")) return true;
        return routers.every((route) => !route(requestOf(target)).startsWith("open"));
      },
    ),
    runs(1000, 10_000),
  );
});

/** Paths as upstreams might see this one: each does some of these things and not others. */
function readings(target: string): Set<string> {
  const decode = (path: string) =>
    path.replace(/%([0-9a-f]{2})/gi, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16)));
  const steps: ((path: string) => string)[] = [
    (path) => path.replace(/;[^/]*/g, ""),
    decode,
    (path) =>
      path
        .split("/")
        .map((segment) => decode(segment).replace(/;.*/s, ""))
        .join("/"),
    decode,
    (path) => path.replaceAll("\\", "/"),
    (path) => path.replace(/;[^/]*/g, ""),
    (path) => path.replace(/[\s.]+(?=\/|$)/g, (end) => (/^\.{1,2}$/.test(end) ? end : "")),
    (path) => path.replace(/\/+/g, "/"),
    (path) =>
      path.startsWith("//")
        ? path
        : new URL(`http://x${path.replaceAll("%", "%25").replaceAll("#", "%23").replaceAll("?", "%3f")}`).pathname,
    (path) => path.toLowerCase(),
    (path) => (path.length > 1 ? path.replace(/\/$/, "") : path),
  ];
  // Two slashes at the front would be an authority to `URL`; upstreams that do that have merged them before.
  let seen = new Set([target, target.replace(/^\/+/, "/")]);
  for (const step of steps) {
    const next = new Set(seen);
    for (const path of seen) next.add(step(path));
    seen = next;
  }
  return seen;
}

t.test(
  "a path that can be read in many ways may not be long as well, and a long plain one is no trouble",
  async (t) => {
    const route = routing([open("/*")]);
    t.equal(route(requestOf(`/${"a".repeat(15_000)}`)), "open /*");
    t.equal(route(requestOf(`/${"%C3%A9x".repeat(2000)}`)), "open /*");
    t.equal(route(requestOf(`/${"%C3%A9x".repeat(2000)}.x`)), "request-ambiguous");
    t.equal(route(requestOf(`/${"a.".repeat(2000)}x`)), "open /*");
    t.equal(route(requestOf(`/${"a%20/".repeat(800)}`)), "open /*");
    t.equal(route(requestOf(`/${"a%20/".repeat(900)}`)), "request-ambiguous");
    for (const unit of ["a%2f%5cb;c%20/", "a%252f%255cb%253bc%2520./", "%25", "a."]) {
      const path = readPath(`/${unit.repeat(4000 / unit.length)}`);
      t.ok(path.kind === "refused" || (path.variants() ?? []).join("").length <= 128 * 1024, unit);
    }
  },
);

t.test("OPTIONS * belongs to no route, and CONNECT and * with other methods to nobody", async (t) => {
  const route = routing([open("/*")]);
  t.equal(route(requestOf("*", { method: "OPTIONS" })), "none");
  t.equal(route(requestOf("*", { method: "GET" })), "request-ambiguous");
  t.equal(route(requestOf("api.example.com:80", { method: "CONNECT" })), "request-ambiguous");
  t.equal(route(requestOf("/", { method: "CONNECT" })), "request-ambiguous");
});

t.test("an absolute form of our own host becomes the origin form that is forwarded", async (t) => {
  const origin = (target: string, host = "api.example.com") => headOf(target, { rawHeaders: ["Host", host] }).target;
  t.equal(origin("http://api.example.com/a?b=%zz"), "/a?b=%zz");
  t.equal(origin("http://api.example.com"), "/");
  t.equal(origin("http://api.example.com?q"), "/?q");
  t.equal(origin("https://API.example.com:443/", "api.example.com"), "/");
  t.equal(origin("http://api.example.com:8080/x", "api.example.com:8080"), "/x");
  t.equal(codeOf({ rawHeaders: ["Host", "api.example.com:8080"] }, "http://api.example.com/x"), "request-ambiguous");
});

t.test("a head says where path and query divide, and keeps both as received", async (t) => {
  const head = headOf("/A;x/%41?b=?&c=%2f");
  t.match(head, { target: "/A;x/%41?b=?&c=%2f", rawPath: "/A;x/%41", query: "b=?&c=%2f", path: { canonical: "/A/A" } });
  t.equal(headOf("/a").query, undefined);
  t.equal(headOf("/a?").query, "");
});

t.test("one valid Host and no other", async (t) => {
  const withHosts = (...hosts: string[]) => codeOf({ rawHeaders: hosts.flatMap((host) => ["host", host]) });
  for (const host of ["a", "A.b-c_d~", "a:80", "a:", "127.0.0.1:8080", "[::1]", "[::1]:80", "a."])
    t.equal(withHosts(host), "head", host);
  for (const host of [
    "",
    ".",
    ":80",
    "a/b",
    "a/../b",
    "a@b",
    "a b",
    "a,b",
    "a:b",
    "a:80:80",
    "a:123456",
    "[::1",
    "[x]",
    "::1",
    "a%41",
    "a\\b",
    "é",
  ]) {
    t.equal(withHosts(host), "request-ambiguous", JSON.stringify(host));
  }
  t.equal(withHosts(), "request-ambiguous", "none");
  t.equal(codeOf({ rawHeaders: [], httpVersion: "1.0" }), "request-ambiguous", "none, in HTTP/1.0");
  t.equal(withHosts("a", "a"), "request-ambiguous", "two, even if they agree");
  t.equal(codeOf({ rawHeaders: ["Host", "a", "HOST", "b"] }), "request-ambiguous");
});

t.test("only HTTP/1.0 and HTTP/1.1", async (t) => {
  for (const httpVersion of ["1.0", "1.1"]) t.equal(codeOf({ httpVersion }), "head");
  for (const httpVersion of ["0.9", "1.2", "2.0", ""])
    t.equal(codeOf({ httpVersion }), "request-ambiguous", httpVersion);
});

t.test("a body is framed in one way only", async (t) => {
  t.equal(withFields("Content-Length", "5"), "head");
  t.equal(withFields("Transfer-Encoding", "chunked"), "head");
  t.equal(withFields("transfer-encoding", " Chunked\t"), "head");
  const refused = [
    ["Content-Length", "5", "Transfer-Encoding", "chunked"],
    ["Content-Length", "5", "Content-Length", "5"],
    ["Content-Length", "5, 5"],
    ["Content-Length", "+5"],
    ["Content-Length", ""],
    ["Transfer-Encoding", "gzip, chunked"],
    ["Transfer-Encoding", "gzip"],
    ["Transfer-Encoding", "identity"],
    ["Transfer-Encoding", "chunked, chunked"],
    ["Transfer-Encoding", "chunked", "Transfer-Encoding", "chunked"],
    ["Transfer-Encoding", "chunked\xa0"],
    ["Transfer-Encoding", "\x0bchunked"],
    ["Transfer-Encoding", ""],
  ];
  for (const fields of refused) t.equal(withFields(...fields), "request-ambiguous", JSON.stringify(fields));
  t.equal(
    codeOf({ httpVersion: "1.0", rawHeaders: ["Host", "a", "Transfer-Encoding", "chunked"] }),
    "request-ambiguous",
  );
});

t.test(
  "a field that is a sensitive one but for characters that are no letters or digits is refused on every route",
  async (t) => {
    const twins = [
      "Content_Length",
      "Transfer_Encoding",
      "TRANSFER_encoding",
      "X_Forwarded_For",
      "X-Forwarded_Anything",
    ];
    for (const twin of [
      ...twins,
      "X_HTTP_Method_Override",
      "Transfer!Encoding",
      "Content.Length",
      "Transfer---Encoding",
      "Transfer___Encoding",
      "_Content_Length",
      "Content~Type-",
      "Host_",
      "X.HTTP.Method.Override",
      "x!forwarded!for",
      "X-HTTP_Method",
      "X_Method-Override",
      "X_Real_IP",
      "Content_Type",
    ]) {
      t.equal(withFields(twin, "x"), "request-ambiguous", twin);
    }
    for (const fine of ["Idempotency_Key", "My_Header", "_", "X_Forwarded", "X.Y"])
      t.equal(withFields(fine, "x"), "head", fine);
  },
);

t.test("a protected route refuses what hides or doubles the fields it reads", async (t) => {
  const route = guarded(
    "/a",
    {},
    {
      scope: [
        { from: "header", name: "Authorization", optional: true },
        { from: "header", name: "X-Tenant-Id", optional: false },
      ],
      fingerprint: { body: "bytes", ignore: [], headers: ["x-currency"], query: true },
    },
  );
  const codeFor = (...fields: string[]) =>
    refuseForRoute(route, headOf("/a", { rawHeaders: ["Host", "a", ...fields] }))?.problem.code;
  for (const name of ["Idempotency-Key", "authorization", "X-TENANT-ID", "x-currency", "X-HTTP-Method"]) {
    t.equal(codeFor("Connection", name), "request-ambiguous", name);
    t.equal(codeFor("Connection", `close, ${name}`), "request-ambiguous", `after close, ${name}`);
    t.equal(
      codeFor("Connection", "close", "connection", `foo,\t${name} ,`),
      "request-ambiguous",
      `second line, ${name}`,
    );
  }
  for (const name of [
    "Idempotency_Key",
    "idempotency_key",
    "Idempotency.Key",
    "idempotency--key",
    "X_Tenant-Id",
    "X+CURRENCY",
  ]) {
    t.equal(codeFor(name, "x"), "request-ambiguous", name);
  }
  for (const fields of [[], ["Connection", "keep-alive, X-Foo"], ["My_Header", "x"], ["Idempotency-Key", "a"]]) {
    t.equal(codeFor(...fields), undefined, fields.join());
  }
  t.equal(
    refuseForRoute(open("/*"), headOf("/a", { rawHeaders: ["Host", "a", "Connection", "Idempotency-Key"] })),
    undefined,
  );
});

t.test("a configured name with an underscore has its twin with dashes", async (t) => {
  const route = guarded("/a", {}, { scope: [{ from: "header", name: "X_Tenant", optional: true }] });
  const codeFor = (...fields: string[]) =>
    refuseForRoute(route, headOf("/a", { rawHeaders: ["Host", "a", ...fields] }))?.problem.code;
  t.equal(codeFor("X-Tenant", "1"), "request-ambiguous");
  t.equal(codeFor("X_Tenant", "1"), undefined);
});

t.test("more than 200 fields are too many, and that is said first", async (t) => {
  const fields = Array.from({ length: maxHeaderFields - 1 }, (_, i) => [`X-${i}`, "1"]).flat();
  t.equal(codeOf({ rawHeaders: ["Host", "a", ...fields] }), "head", "200");
  t.equal(codeOf({ rawHeaders: ["Host", "a", ...fields, "X-More", "1"] }), "headers-too-many", "201");
  t.equal(codeOf({ rawHeaders: [...fields, ...fields], httpVersion: "0.9" }), "headers-too-many");
});
