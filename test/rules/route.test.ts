import fc from "fast-check";
import t from "tap";
import type { Route } from "../../src/model.js";
import { compileRouter } from "../../src/rules/route.js";
import { runs } from "../property-runs.js";
import { guarded, open, requestOf, routing } from "./requests.js";

const at = (routes: readonly Route[]) => {
  const route = routing(routes);
  return (target: string, method = "POST", host = "api.example.com") =>
    route(requestOf(target, { method, rawHeaders: ["Host", host] }));
};

t.test("the more specific path wins, segment by segment from the left", async (t) => {
  const route = at([
    open("/*"),
    open("/v1/*"),
    open("/v1/:kind"),
    open("/v1/orders"),
    open("/v1/orders/:id"),
    open("/v1/:kind/special"),
    open("/:version/orders/special"),
    open("/"),
  ]);
  const expected: Record<string, string> = {
    "/": "/",
    "/v2": "/*",
    "/v1": "/v1/*",
    "/v1/": "/v1/*",
    "/v1/things": "/v1/:kind",
    "/v1/orders": "/v1/orders",
    "/v1/orders/7": "/v1/orders/:id",
    "/v1/orders/special": "/v1/orders/:id",
    "/v1/things/special": "/v1/:kind/special",
    "/v1/things/other": "/v1/*",
    "/v2/orders/special": "/:version/orders/special",
    "/v1/orders/7/lines": "/v1/*",
    "/v10/x": "/*",
  };
  for (const [target, pattern] of Object.entries(expected)) t.equal(route(target), `open ${pattern}`, target);
});

t.test("a pattern without a star matches nothing below it, and :name no empty segment", async (t) => {
  const route = at([open("/v1/orders/:id")]);
  for (const target of ["/v1/orders", "/v1/orders/", "/v1/orders/1/2", "/", "/v1", "*"]) {
    t.equal(route(target, "OPTIONS"), "none", target);
  }
  t.equal(compileRouter([open("/v1/:id/x")]).find("POST", "", "/v1//x"), undefined);
});

t.test("a star takes everything below, and the path before it", async (t) => {
  const route = at([open("/v1/*")]);
  for (const target of ["/v1", "/v1/", "/v1/x", "/v1/x/", "/v1/x/y", "/V1?x"])
    t.equal(route(target), "open /v1/*", target);
  for (const target of ["/", "/v", "/v12", "/v2/v1"]) t.equal(route(target), "none", target);
  t.equal(at([open("/*")])("/"), "open /*", "the root as well");
});

t.test("a request whose method or host does not fit goes to the next most specific route", async (t) => {
  const route = at([
    open("/v1/orders", { methods: new Set(["GET"]) }),
    open("/v1/:kind", { host: "other.example.com" }),
    guarded("/v1/*"),
    open("/*"),
  ]);
  t.equal(route("/v1/orders", "GET"), "open /v1/orders");
  t.equal(route("/v1/orders", "POST"), "guarded /v1/*");
  t.equal(route("/v1/orders", "POST", "other.example.com"), "open /v1/:kind");
  t.equal(route("/v1/orders", "DELETE"), "open /*");
});

t.test("at one path a host beats none, methods beat none, and the path comes before both", async (t) => {
  const named = (name: string, route: Route): Route => ({ ...route, name });
  const route = at([
    named("plain", open("/a")),
    named("methods", open("/a", { methods: new Set(["POST"]) })),
    named("host", open("/a", { host: "api.example.com" })),
    named("both", open("/a", { host: "api.example.com", methods: new Set(["POST"]) })),
    named("vhost", open("/*", { host: "vhost.example.com" })),
  ]);
  t.equal(route("/a"), "both");
  t.equal(route("/a", "GET"), "host");
  t.equal(route("/a", "POST", "x"), "methods");
  t.equal(route("/a", "GET", "x"), "plain");
  t.equal(route("/a", "GET", "vhost.example.com"), "plain", "a catch-all of one host hides nothing");
  t.equal(route("/b", "GET", "vhost.example.com"), "vhost");
});

t.test("the protected route of a path gets its methods, the unprotected one the others, in either order", async (t) => {
  for (const routes of [
    [guarded("/*"), open("/*")],
    [open("/*"), guarded("/*")],
  ]) {
    const route = at(routes);
    for (const method of ["POST", "PATCH"]) t.equal(route("/x", method), "guarded /*");
    for (const method of ["GET", "PUT", "PROPFIND"]) t.equal(route("/x", method), "open /*");
  }
});

t.test("hosts are compared without letter case, port and final dot", async (t) => {
  const route = at([guarded("/a", { host: "api.example.com" }), open("/*")]);
  for (const host of [
    "api.example.com",
    "API.Example.COM",
    "api.example.com:8080",
    "api.example.com.",
    "api.example.com.:80",
  ]) {
    t.equal(route("/a", "POST", host), "guarded /a", host);
  }
  t.equal(at([guarded("/a", { host: "[::1]" })])("/a", "POST", "[::1]:80"), "guarded /a");
});

t.test("letter case is folded unless a route minds it; routes of both kinds live together", async (t) => {
  const route = at([
    guarded("/v1/Pay", { caseSensitive: true }),
    open("/v1/pay"),
    open("/:a/:b", { caseSensitive: true }),
    guarded("/Straße/Kasse"),
  ]);
  t.equal(route("/v1/Pay"), "guarded /v1/Pay");
  t.equal(route("/v1/PAY"), "open /v1/pay", "a literal of a folded route before a name of one that minds case");
  t.equal(route("/V1/Other"), "open /:a/:b");
  for (const target of [
    "/Stra%C3%9Fe/Kasse",
    "/stra\xc3\x9fe/kasse",
    "/STRASSE/KASSE",
    "/stra%c5%bf\u0073e/%e2%84%aaasse",
  ]) {
    t.equal(route(target), "guarded /Straße/Kasse", target);
  }
});

t.test("parameters are decoded once, keep their letter case, and are left out when they are no UTF-8", async (t) => {
  const router = compileRouter([guarded("/Orders/:id/:Line")]);
  const params = (path: string) => router.find("POST", "", path)?.params;
  t.same(params("/orders/AbC/7"), { id: "AbC", Line: "7" });
  t.same(params("/orders/a%20b/%C3%A9"), { id: "a b", Line: "é" });
  t.same(params("/orders/100%25/%252F"), { id: "100%", Line: "%2F" });
  t.same(params("/orders/%FF/x"), { Line: "x" });
});

t.test("a method override makes a request one of the protected route, whatever its method", async (t) => {
  const routes = [
    guarded("/a", { methods: new Set(["POST"]) }),
    { ...guarded("/a", { methods: new Set(["PATCH"]) }), name: "patch" },
    open("/a", { methods: new Set(["GET"]) }),
    open("/a/search", { methods: new Set(["GET"]) }),
    guarded("/a/*", { methods: new Set(["POST"]) }),
    open("/free"),
    open("/*"),
  ];
  const route = routing(routes);
  const override = (target: string, method: string, ...fields: string[]) =>
    route(requestOf(target, { method, rawHeaders: ["Host", "x", ...fields] }));
  for (const name of ["X-HTTP-Method-Override", "x-http-method", "X-Method-Override"]) {
    t.equal(override("/a", "GET", name, "POST"), "guarded /a", name);
    t.equal(override("/a", "GET", name, "patch"), "patch", name);
    t.equal(override("/a", "POST", name, "GET"), "guarded /a", "never less protected than without");
    t.equal(override("/a", "PUT", name, "DELETE"), "guarded /a", "protected, whatever it says");
    t.equal(override("/a/search", "GET", name, "POST"), "guarded /a/*");
    t.equal(override("/free", "GET", name, "POST"), "open /free");
  }
  t.equal(override("/a", "GET", "X-HTTP-Method-Override", "GET", "X-HTTP-Method", "PATCH"), "patch", "any of several");
  t.equal(override("/a", "GET", "X-Other", "POST"), "open /a");
});

const segment = fc.stringMatching(/^[a-zA-Z0-9._~!$&'()*+,=@-]{1,8}$/).filter((text) => !/\.$|^\.|^\*$/.test(text));

t.test("property: every canonical spelling of a protected path finds its route", async () => {
  const spelled = (text: string, choice: readonly number[]) =>
    [...text]
      .map((character, i) => {
        const code = character.charCodeAt(0).toString(16);
        const pick = choice[i % choice.length]! % 5;
        if (pick === 0) return `%${code}`;
        if (pick === 1) return `%${code.toUpperCase()}`;
        if (pick === 2) return character.toUpperCase();
        return pick === 3 ? character.toLowerCase() : character;
      })
      .join("");
  const parameters = fc.constantFrom("", ";", ";a", ";jsessionid=1.2", ";a;b=%20");
  fc.assert(
    fc.property(
      fc.array(fc.tuple(segment, parameters), { minLength: 1, maxLength: 4 }),
      fc.array(fc.nat(), { minLength: 1, maxLength: 9 }),
      fc.constantFrom("", "/", "?", "/?x=/../"),
      (segments, choice, end) => {
        const path = segments.map(([text]) => `/${text}`).join("");
        const target = segments.map(([text, after]) => `/${spelled(text, choice)}${after}`).join("") + end;
        return routing([open("/*"), guarded(path)])(requestOf(target)) === `guarded ${path}`;
      },
    ),
    runs(200, 2000),
  );
});

t.test("property: the tree chooses as a scan over all routes does", async () => {
  const part = fc.constantFrom("a", "b", ":x");
  const pattern = fc
    .tuple(fc.array(part, { maxLength: 3 }), fc.boolean())
    .map(([parts, star]) => `/${[...parts, ...(star ? ["*"] : [])].join("/")}`);
  const choice = fc.record({
    path: pattern,
    host: fc.constantFrom(null, "h", "i"),
    methods: fc.constantFrom(null, new Set(["POST"]), new Set(["GET"])),
    caseSensitive: fc.boolean(),
  });
  const fits = (route: Route, method: string, host: string, segments: readonly string[]) => {
    const { match } = route;
    if (match.methods !== null && !match.methods.has(method)) return false;
    if (match.host !== null && match.host !== host) return false;
    const wanted = match.path.split("/").filter((part) => part !== "");
    const isBelow = wanted.at(-1) === "*";
    if (isBelow) wanted.pop();
    if (isBelow ? segments.length < wanted.length : segments.length !== wanted.length) return false;
    return wanted.every((want, i) => {
      const got = segments[i]!;
      return want.startsWith(":") || want === (match.caseSensitive ? got : got.toLowerCase());
    });
  };
  const rank = ({ match }: Route) => {
    const parts = match.path.split("/").filter((part) => part !== "");
    const kinds: number[] = parts.map((part) => (part === "*" ? 0 : part.startsWith(":") ? 1 : 2));
    if (parts.at(-1) !== "*") kinds.push(3);
    const flags = [match.host !== null, match.methods !== null, match.caseSensitive].map(Number);
    return [...kinds, ...flags].join("");
  };
  fc.assert(
    fc.property(
      fc.array(choice, { maxLength: 12 }),
      fc.array(fc.constantFrom("a", "b", "A", "c"), { maxLength: 4 }),
      fc.constantFrom("GET", "POST"),
      fc.constantFrom("h", "i", "j"),
      (choices, segments, method, host) => {
        const routes = choices.map((match, i) => ({ ...open(match.path, match), name: String(i) }));
        const fitting = routes.filter((route) => fits(route, method, host, segments));
        const best = fitting.sort((a, b) => (rank(a) < rank(b) ? 1 : rank(a) > rank(b) ? -1 : 0))[0];
        const found = compileRouter(routes).find(method, host, `/${segments.join("/")}`);
        return found?.route.name === best?.name;
      },
    ),
    runs(400, 4000),
  );
});

t.test("a lookup among 2,000 routes touches no more of them than one among 20", async (t) => {
  // Counted, not timed: how often any route's methods are asked.
  let asked = 0;
  class Counting extends Set<string> {
    override has(method: string): boolean {
      asked++;
      return super.has(method);
    }
  }
  const routes = Array.from({ length: 2000 }, (_, i) => {
    const path = i % 2 === 0 ? `/v1/things-${i}/:id` : `/v1/things-${i}/*`;
    return guarded(path, { methods: new Counting(["POST"]), host: i % 3 === 0 ? "api.example.com" : null });
  });
  const router = compileRouter(routes);
  for (const [i, route] of routes.entries()) {
    const path = `/v1/things-${i}/7`;
    if (router.find("POST", "api.example.com", path)?.route !== route) t.fail(path);
  }
  t.equal(asked, 2000, "one question for each lookup");
});
