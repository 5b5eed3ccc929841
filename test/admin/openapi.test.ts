import { readFileSync } from "node:fs";
import { Ajv2020 } from "ajv/dist/2020.js";
import type { InjectOptions, LightMyRequestResponse } from "fastify";
import t from "tap";
import { parse } from "yaml";
import type { Seen } from "../../src/admin/timeline.js";
import { EventHub } from "../../src/events.js";
import { Recent, type Sighting } from "../../src/observe/recent.js";
import { sampleRoute } from "../sample-config.js";
import { type SampleAdmin, sampleAdmin, seed, unreachable } from "./sample-admin.js";

/*
 * docs/openapi.yaml and the server are held together both ways: every route of the server is described, every answer
 * that is described is asked for here, and every answer is valid against its description.
 */

type Described = { content?: Record<string, { schema: object }>; headers?: Record<string, unknown>; $ref?: string };
type Operation = { responses: Record<string, Described> };
type Document = {
  paths: Record<string, Record<string, Operation>>;
  components: Record<string, Record<string, Described>>;
};

const document = parse(readFileSync(new URL("../../docs/openapi.yaml", import.meta.url), "utf8")) as Document;
const ajv = new Ajv2020({ strict: false, allErrors: true });
ajv.addSchema({ $id: "openapi", ...document });
const methods = ["get", "post", "put", "patch", "delete"];

function described(path: string, method: string, status: number): Described | undefined {
  const response = document.paths[path]?.[method]?.responses[status];
  return response?.$ref === undefined ? response : document.components.responses?.[response.$ref.split("/").at(-1)!];
}

/** Where a schema lies in the document, for ajv. */
function pointerTo(path: string, method: string, status: number, type: string): string {
  const { $ref } = document.paths[path]![method]!.responses[status]!;
  const steps = $ref === undefined ? ["#", "paths", path, method, "responses", String(status)] : $ref.split("/");
  const all = [...steps, "content", type, "schema"];
  return `openapi#/${all
    .slice(1)
    .map((step) => encodeURIComponent(step.replaceAll("~", "~0").replaceAll("/", "~1")))
    .join("/")}`;
}

/** `printRoutes` as path and methods: what fastify's router really has. */
function routesOf(text: string): Set<string> {
  const found = new Set<string>();
  const at: string[] = [];
  for (const line of text.split("\n")) {
    const [, indent = "", part, verbs] = /^([│ ]*)[├└]── (\S+)(?: \(([^)]*)\))?/.exec(line) ?? [];
    if (part === undefined) continue;
    const depth = indent.length / 4;
    at.splice(depth, Number.POSITIVE_INFINITY, part);
    const path = at.join("").replace(/\/{2,}/g, "/");
    for (const verb of verbs?.split(", ") ?? []) if (verb !== "HEAD") found.add(`${verb.toLowerCase()} ${path}`);
  }
  return found;
}

t.test("every route of the server is described, and nothing else is", async (t) => {
  const served = new Set<string>();
  for (const route of routesOf(sampleAdmin().app.printRoutes({ commonPrefix: false }))) {
    served.add(route.replace(/\/console\/.+$/, "/console/{file}").replace(/:(\w+)/g, "{$1}"));
  }
  const told = Object.entries(document.paths).flatMap(([path, item]) =>
    Object.keys(item)
      .filter((name) => methods.includes(name))
      .map((method) => `${method} ${path}`),
  );
  t.ok(served.size > 9, "routes were found");
  t.strictSame([...served].sort(), told.sort());
});

const token = "s3cret";
const json = { "content-type": "application/json" };
const absent = "0".repeat(64);
const doneBody = { outcome: "done", response: { status: 201, headers: { A: ["b", "c"] }, body: "x" }, reason: "asked" };

/** How each described answer is brought about, for an operation whose request is valid otherwise. */
type Case = readonly [path: string, method: string, status: number, ask: () => Promise<LightMyRequestResponse>];

async function cases(): Promise<Case[]> {
  const probe = { method: "GET", url: "http://x/{key}", done: new Set([200]), notDone: new Set([404]) };
  const routes = [sampleRoute("pay"), sampleRoute("probed", { inDoubt: "probe", probe }), sampleRoute("open", null)];
  const plain = sampleAdmin({ routes });
  const guarded = sampleAdmin({ admin: { host: "0.0.0.0", port: 9090, token } });
  const away = sampleAdmin({}, unreachable);
  const broken = sampleAdmin(
    {},
    (store) => new Proxy(store, { get: () => () => Promise.reject(new TypeError("a fault")) }),
    { scrape: () => Promise.reject(new TypeError("a fault")) },
  );
  const [done, doubt, flying, big] = [
    await seed(plain.store, "completed"),
    await seed(plain.store, "in_doubt"),
    await seed(plain.store, "in_flight"),
    await seed(plain.store, "not_replayable"),
  ];
  plain.recall = { sinceMs: 1_700_000_000_000, processes: 1, silent: 0, seen: sightings() };
  const all: Case[] = [];
  const add = (path: string, method: string, status: number, sample: SampleAdmin, options: InjectOptions) =>
    all.push([path, method, status, () => sample.app.inject({ method: method.toUpperCase() as "GET", ...options })]);

  add("/healthz", "get", 200, plain, { url: "/healthz" });
  add("/readyz", "get", 200, plain, { url: "/readyz" });
  const draining = sampleAdmin();
  draining.ready.draining = true;
  add("/readyz", "get", 503, draining, { url: "/readyz" });
  add("/metrics", "get", 200, plain, { url: "/metrics" });
  add("/metrics", "get", 500, broken, { url: "/metrics" });
  for (const accept of ["text/html", "text/plain"]) add("/", "get", 200, plain, { url: "/", headers: { accept } });
  add("/", "get", 401, guarded, { url: "/" });
  add("/", "get", 403, plain, { url: "/", headers: { host: "evil.example" } });
  const file = await plain.app.inject("/console/app.js");
  for (const name of ["app.js", "theme.css", "mark.svg"])
    add("/console/{file}", "get", 200, plain, { url: `/console/${name}` });
  add("/console/{file}", "get", 304, plain, {
    url: "/console/app.js",
    headers: { "if-none-match": String(file.headers.etag) },
  });
  add("/console/{file}", "get", 401, guarded, { url: "/console/none.js" });
  add("/console/{file}", "get", 403, plain, { url: "/console/app.js", headers: { host: "evil.example" } });
  add("/console/{file}", "get", 404, plain, { url: "/console/none.js" });

  /** What every path below /v1 answers alike. */
  const addGuarded = (
    path: string,
    method: string,
    options: InjectOptions,
    uses: { store?: boolean; faulty?: boolean },
  ) => {
    add(path, method, 401, guarded, options);
    add(path, method, 403, plain, { ...options, headers: { ...options.headers, host: "evil.example" } });
    if (uses.faulty) add(path, method, 500, broken, options);
    if (uses.store) add(path, method, 503, away, options);
  };
  add("/v1/live", "get", 200, plain, { url: "/v1/live" });
  addGuarded("/v1/live", "get", { url: "/v1/live" }, { faulty: true });
  add("/v1/routes", "get", 200, plain, { url: "/v1/routes" });
  addGuarded("/v1/routes", "get", { url: "/v1/routes" }, {});
  for (const query of ["", "?limit=1", "?key=order-1&state=in_doubt"]) {
    add("/v1/records", "get", 200, plain, { url: `/v1/records${query}` });
  }
  add("/v1/records", "get", 400, plain, { url: "/v1/records?colour=red" });
  addGuarded("/v1/records", "get", { url: "/v1/records" }, { store: true, faulty: true });

  const one = "/v1/records/{id}";
  for (const id of [done, doubt, flying, big]) {
    for (const query of ["", "?body=true"]) add(one, "get", 200, plain, { url: `/v1/records/${id}${query}` });
  }
  add(one, "get", 400, plain, { url: `/v1/records/${done}?body=maybe` });
  add(one, "get", 404, plain, { url: `/v1/records/${absent}` });
  addGuarded(one, "get", { url: `/v1/records/${done}` }, { store: true, faulty: true });

  const timeline = "/v1/records/{id}/timeline";
  for (const id of [done, doubt, flying, big, absent])
    add(timeline, "get", 200, plain, { url: `/v1/records/${id}/timeline` });
  add(timeline, "get", 404, sampleAdmin(), { url: `/v1/records/${absent}/timeline` });
  addGuarded(timeline, "get", { url: `/v1/records/${done}/timeline` }, { store: true, faulty: true });

  const stale = { "if-match": '"stale"' };
  const large = { headers: json, payload: `"${"x".repeat(17 * 1024 * 1024)}"` };
  const remove = { url: `/v1/records/${done}`, headers: json, payload: { reason: "test" } };
  add(one, "delete", 400, plain, { ...remove, payload: { because: "test" } });
  add(one, "delete", 404, plain, { ...remove, url: `/v1/records/${absent}` });
  add(one, "delete", 409, plain, { ...remove, url: `/v1/records/${flying}` });
  add(one, "delete", 412, plain, { ...remove, headers: { ...json, ...stale } });
  add(one, "delete", 413, plain, { ...remove, ...large });
  addGuarded(one, "delete", remove, { store: true, faulty: true });
  add(one, "delete", 204, plain, remove);

  const decide = "/v1/records/{id}/resolve";
  const resolve = { url: `/v1/records/${doubt}/resolve`, headers: json, payload: doneBody };
  add(decide, "post", 400, plain, { ...resolve, payload: { outcome: "perhaps" } });
  add(decide, "post", 404, plain, { ...resolve, url: `/v1/records/${absent}/resolve` });
  add(decide, "post", 409, plain, { ...resolve, url: `/v1/records/${big}/resolve` });
  add(decide, "post", 412, plain, { ...resolve, headers: { ...json, ...stale } });
  add(decide, "post", 413, plain, { ...resolve, ...large });
  addGuarded(decide, "post", resolve, { store: true, faulty: true });
  add(decide, "post", 200, plain, resolve);
  return all;
}

/** One of each kind, as a process really keeps them. */
function sightings(): readonly Seen[] {
  const hub = new EventHub();
  const recent = new Recent(hub);
  const [key, route] = ["a".repeat(8), "pay"];
  hub.emit("flightBegun", { route, key });
  hub.emit("inDoubt", { route, key, cause: "lock_lost" });
  hub.emit("leaseLost", { route, key });
  hub.emit("audit", { who: "eve", action: "delete", key, result: "forgotten", reason: "test" });
  const request = { route, key, method: "POST", path: "/v1/pay", durationMs: 1.25, instance: undefined, hungUp: false };
  const untold = { clientAddress: undefined, traceparent: undefined };
  hub.emit("request", { ...request, ...untold, result: "executed", status: 201, code: undefined });
  hub.emit("request", { ...request, ...untold, result: "mismatch", status: 422, code: "key-reused" });
  const { seen }: { seen: readonly Sighting[] } = recent.of(key);
  return seen;
}

t.test("every answer that is described is given, and is as it is described", async (t) => {
  const met = new Set<string>();
  for (const [path, method, status, ask] of await cases()) {
    const title = `${method} ${path} ${status}`;
    const answer = await ask();
    met.add(title);
    if (!t.equal(answer.statusCode, status, title)) continue;
    const response = described(path, method, status);
    if (response === undefined) {
      t.fail(`${title} is not described`);
      continue;
    }
    for (const name of Object.keys(response.headers ?? {}))
      t.ok(answer.headers[name.toLowerCase()], `${title}: ${name}`);
    const type = String(answer.headers["content-type"] ?? "").split(";", 1)[0] as string;
    if (response.content === undefined) {
      t.equal(answer.body, "", `${title} has no body`);
      continue;
    }
    if (!t.ok(type in response.content, `${title}: ${type}`)) continue;
    if (!type.endsWith("json")) continue;
    const validate = ajv.getSchema(pointerTo(path, method, status, type));
    if (validate === undefined) t.fail(`${title} has no schema`);
    else t.ok(validate(answer.json()), `${title} ${ajv.errorsText(validate.errors)}`);
  }
  const told = Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item)
      .filter(([name]) => methods.includes(name))
      .flatMap(([method, { responses }]) => Object.keys(responses).map((status) => `${method} ${path} ${status}`)),
  );
  t.strictSame([...met].sort(), told.sort(), "nothing is described that was not met");
});

t.test("what resolve takes is as it is described", async (t) => {
  const validate = ajv.getSchema("openapi#/components/schemas/Resolution")!;
  const { app, store } = sampleAdmin();
  const bodies = [
    doneBody,
    { outcome: "not-done" },
    { outcome: "not-done", reason: "gone" },
    { outcome: "done", response: { status: 204 } },
    { outcome: "done", response: { status: 200, headers: [["A", "b"]], body: "eA==", bodyEncoding: "base64" } },
    { outcome: "done" },
    { outcome: "not-done", response: { status: 200 } },
    { outcome: "done", response: { status: 199 } },
    { outcome: "done", response: { status: 200, headers: { a: 1 } } },
    { outcome: "done", response: { status: 200, bodyEncoding: "hex" } },
    { outcome: "not-done", reason: "x".repeat(501) },
    { outcome: "not-done", why: "x" },
    {},
  ];
  for (const payload of bodies) {
    const url = `/v1/records/${await seed(store, "in_doubt")}/resolve`;
    const { statusCode } = await app.inject({ method: "POST", url, headers: json, payload });
    t.equal(validate(payload), statusCode === 200, `${JSON.stringify(payload).slice(0, 90)} is answered ${statusCode}`);
  }
});
