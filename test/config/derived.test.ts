// biome-ignore-all lint/suspicious/noTemplateCurlyInString: this is how the configuration names the environment
import { readFileSync } from "node:fs";
import { Ajv2020 } from "ajv/dist/2020.js";
import t from "tap";
import { parse } from "yaml";
import { schema as schemaCommand } from "../../src/cli/schema.js";
import { parseTree, type Tree } from "../../src/config/document.js";
import { usualValue } from "../../src/config/fill.js";
import { Findings, under } from "../../src/config/findings.js";
import { jsonSchema } from "../../src/config/json-schema.js";
import { loadConfig } from "../../src/config/load.js";
import { refuse } from "../../src/config/parsed.js";
import { read } from "../../src/config/read.js";
import { reference, withReference } from "../../src/config/reference.js";
import { schema } from "../../src/config/schema.js";
import type { Shape } from "../../src/config/setting.js";
import { inRepository, load } from "./sample.js";

const textOf = (path: string) => readFileSync(inRepository(path), "utf8");
const example = textOf("config/example.yaml");
const minimal = textOf("config/minimal.yaml");

/** Every single setting below, with its path; of alternatives, those of `chosen`. */
function* settings(shape: Shape, path: string, chosen = "embedded"): Generator<readonly [path: string, shape: Shape]> {
  if (shape.kind === "group") {
    if (shape.optional || shape.sparse) yield [path, shape];
    for (const [name, field] of Object.entries(shape.fields)) yield* settings(field, under(path, name), chosen);
  } else if (shape.kind === "variants") {
    for (const [name, field] of Object.entries(
      shape.variants[chosen]!.kind === "group" ? shape.variants[chosen]!.fields : {},
    )) {
      yield* settings(field, under(path, name), chosen);
    }
  } else if (shape.kind === "list" && shape.item.kind === "group") yield* settings(shape.item, `${path}[0]`, chosen);
  else yield [path, shape];
}

const everySetting = (chosen?: string) =>
  [...settings(schema, "", chosen)].filter(([path]) => !/^defaults\.\w+\./.test(path));

function valueAt(tree: Tree | undefined, path: string): Tree | undefined {
  let at = tree;
  for (const [, name, index] of path.matchAll(/([\w$-]+)|\[(\d+)\]/g)) {
    if (at?.kind === "map" && name !== undefined) at = at.entries.find(({ key }) => key === name)?.value;
    else if (at?.kind === "list" && index !== undefined) at = at.items[Number(index)];
    else return undefined;
  }
  return at;
}

t.test("what is derived from the declared settings is up to date", (t) => {
  t.equal(textOf("config/schema.json"), `${JSON.stringify(jsonSchema(), null, 2)}\n`, "run scripts/docs.mjs");
  const documentation = textOf("docs/configuration.md");
  t.equal(documentation, withReference(documentation, reference()), "run scripts/docs.mjs");
  t.throws(() => withReference("no marks", ""), /no place/);
  for (const [path] of everySetting("redis")) {
    if (path !== "defaults") t.ok(documentation.includes(`| \`${path.replaceAll("[0]", "[]")}\` |`), path);
  }
  t.end();
});

t.test("the schema command prints the JSON Schema", (t) => {
  const written = { stdout: "", stderr: "" };
  const io = {
    stdout: { write: (text: string) => (written.stdout += text) },
    stderr: { write: (text: string) => (written.stderr += text) },
  };
  t.equal(schemaCommand([], io), 0);
  t.equal(written.stdout, textOf("config/schema.json"));
  t.equal(written.stderr, "");
  t.equal(schemaCommand(["x"], io), 2);
  t.match(written.stderr, /^schema: takes no arguments, got x\n\nusage:/);
  t.end();
});

t.test("both example files load, and name their schema for the editor", (t) => {
  for (const name of ["minimal", "example"]) {
    t.equal(textOf(`config/${name}.yaml`).split("\n", 1)[0], "# yaml-language-server: $schema=./schema.json");
    const loaded = loadConfig(inRepository(`config/${name}.yaml`), {});
    t.match(loaded, { kind: "ok", warnings: [] });
    if (loaded.kind === "ok")
      t.same(
        loaded.config.routes.map(({ policy }) => policy !== null),
        [true, false],
        name,
      );
  }
  t.end();
});

t.test("example.yaml has every setting at its default, or commented out where it has none", (t) => {
  const tree = parseTree(example, {}, new Findings("example"));
  const findings = new Findings("example");
  for (const [path, shape] of everySetting()) {
    const written = valueAt(tree, path);
    const isCommented = new RegExp(`^ *# *(?:- )?${path.split(".").at(-1)}:`, "m").test(example);
    if (shape.default === undefined && !shape.required && !(shape.kind === "group" && !shape.optional)) {
      // A route is shown protected: that is what most of the settings are about.
      if (path !== "routes[0].idempotency") t.ok(written === undefined && isCommented, `${path} is commented out`);
    } else if (written === undefined) {
      t.ok(shape.required || /\.probe\.|\.when\[/.test(path), `${path} is written`);
      t.ok(isCommented, `${path} is commented out`);
    } else if (shape.default !== undefined) {
      const value = read(shape, written, path, { findings, secretFile: refuse });
      t.same(value, usualValue(shape, path), path);
    }
  }
  t.same(findings.mistakes, []);
  t.end();
});

t.test("what example.yaml has commented out is right as soon as it is not", (t) => {
  const uncommented = example.replace(/^( *)#(?=\w| {2,}(?:- )?\w+:)/gm, "$1");
  const whole = uncommented
    .replace(/^ *type: embedded.*\n^ *path: \.\/data.*\n/m, "")
    .replace("inDoubt: hold ", "inDoubt: probe");
  const loaded = load(t, whole);
  t.equal(loaded.kind, "bad");
  if (loaded.kind !== "bad") return t.end();
  const told = loaded.mistakes
    .map(({ path, message }) => `${path}: ${message}`)
    .filter((line) => !line.endsWith("yet"));
  t.same(told, [
    "server.tls.cert: cannot read ./tls.crt: no such file",
    "server.tls.key: cannot read ./tls.key: no such file",
    "store.cluster: cannot be used together with sentinel",
    "routes[0].upstream.tls: works with https: only, and url is http://localhost:3000",
  ]);
  const findings = new Findings("whole");
  const tree = parseTree(whole, {}, findings);
  for (const [path, shape] of everySetting("redis")) {
    // Of the example's two rules one is by a header field, one by a place in the body.
    const written = valueAt(tree, path.replace(/when\[0\]\.(body|equals)$/, "when[1].$1"));
    t.ok(written !== undefined || shape.kind === "group", path);
    if (written === undefined || shape.default === undefined || path.endsWith("inDoubt")) continue;
    t.same(read(shape, written, path, { findings, secretFile: refuse }), usualValue(shape, path), path);
  }
  t.end();
});

t.test("every default keeps its own rules", (t) => {
  for (const [path, shape] of [...everySetting("embedded"), ...everySetting("redis")]) {
    if (shape.default !== undefined) t.doesNotThrow(() => usualValue(shape, path), path);
  }
  t.end();
});

t.test("the JSON Schema is sound, describes every setting, and takes what check takes", (t) => {
  const ajv = new Ajv2020({ strict: true, allowUnionTypes: true, strictTypes: false, strictRequired: false });
  const validate = ajv.compile(JSON.parse(JSON.stringify(jsonSchema())));
  const takes = (text: string) => validate(parse(text));
  t.ok(takes(example), JSON.stringify(validate.errors));
  t.ok(takes(minimal), JSON.stringify(validate.errors));
  const rest = "\nroutes: [{ name: a, match: { path: /a }, idempotency: }]";
  const right = [
    "server: { port: '${PORT:-1}', workers: auto, trustProxy: [10.0.0.0/8], drainTimeout: 0 }",
    "store: { type: redis, url: 'file:/x', locks: { nodes: [] } }",
    "store: { type: '${STORE}', path: x }",
    "server: { limits: { requestBody: 4096, headersTimeout: '${T}' } }",
    "defaults: { idempotency: { probe: { done: [201] }, key: { from: [header:A, 'body:/a'] } } }",
    "problems: { types: { internal: 'https://x' } }",
    "defaults: { upstream: { keepAlive: 0, retryUnsent: 10s, tls: { serverName: a.b, ca: 'file:/x' } } }",
  ];
  for (const line of right) t.ok(takes(line + rest), `${line} ${JSON.stringify(validate.errors)}`);
  const wrong = [
    "sever: {}",
    "server: { port: 70000 }",
    "server: { port: '80' }",
    "server: { drainTimeout: 30 }",
    "server: { drainTimeout: 30sec }",
    "server: { limits: { requestBody: 1MB } }",
    "server: { tls: { cert: x } }",
    "defaults: { upstream: { keepAlive: 60 } }",
    "defaults: { upstream: { tls: { server: x } } }",
    "store: { type: embedded, url: redis://x }",
    "store: { type: redis, path: x }",
    "logging: { level: loud }",
    "problems: { types: { nope: x } }",
    "defaults: { idempotency: { key: { from: Idempotency-Key } } }",
    "defaults: { idempotency: { outcomes: { unknown: [42] } } }",
  ];
  for (const line of wrong) t.notOk(takes(line + rest), line);
  t.notOk(takes("server: {}"), "routes are required");
  for (const line of right) {
    const loaded = load(t, line + rest.replace("idempotency:", "upstream: { url: http://u }"), {
      env: { STORE: "embedded", T: "1s" },
    });
    const unexpected =
      loaded.kind === "bad" ? loaded.mistakes.filter(({ message }) => !/cannot read/.test(message)) : [];
    t.same(unexpected, [], line);
  }
  t.end();
});
