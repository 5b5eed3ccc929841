import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import t from "tap";
import "./house-code.js";
import { problems } from "../src/problem.js";

const root = fileURLToPath(new URL("..", import.meta.url));
const filesIn = (folder: string, ending: RegExp): string[] =>
  readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && ending.test(entry.name))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
    .sort();
const read = (file: string) => readFileSync(join(root, file), "utf8");
const sources = filesIn("src", /\.tsx?$/);

/** From the ground up. Rooms on one floor never import one another. */
const floors: readonly (readonly string[])[] = [
  ["trace", "turnover"],
  ["model"],
  ["problem", "events"],
  ["rules", "config"],
  ["store"],
  ["engine"],
  ["proxy", "admin", "observe"],
  ["gateway"],
  ["cluster"],
  ["cli"],
  ["main"],
];
const roomOf = (file: string) => (file.split("/")[1] as string).replace(/\.tsx?$/, "");
const floorOf = (room: string) => floors.findIndex((rooms) => rooms.includes(room));

/** What a file imports, by specifier, whatever the form. */
function importsOf(file: string): string[] {
  return [...read(file).matchAll(/(?:from|import)\s*\(?\s*"([^"]+)"/g)].map((match) => match[1] as string);
}

t.test("imports between rooms go strictly downward", async (t) => {
  for (const file of sources) {
    const room = roomOf(file);
    t.not(floorOf(room), -1, `${file} is in a room of the plan`);
    for (const specifier of importsOf(file).filter((s) => s.startsWith("."))) {
      const target = roomOf(relative(root, join(root, dirname(file), specifier)).replace(/\.js$/, ".ts"));
      if (target !== room) t.ok(floorOf(target) < floorOf(room), `${file} -> ${specifier}`);
    }
  }
});

t.test("each room knows only the libraries that are its business", async (t) => {
  const mayNot: Readonly<Record<string, RegExp>> = {
    rules: /^(?!\.|node:crypto$)/,
    engine: /^(fastify|@fastify|ioredis|redlock|@photostructure|undici|pino)/,
    store: /^(fastify|@fastify|undici|pino)/,
    config: /^(fastify|@fastify|ioredis|redlock|@photostructure|undici|pino)/,
    proxy: /^(ioredis|redlock|@photostructure|pino)/,
    admin: /^(ioredis|redlock|@photostructure|undici|pino)/,
  };
  for (const file of sources) {
    const forbidden = mayNot[roomOf(file)];
    if (forbidden !== undefined)
      t.same(
        importsOf(file).filter((s) => forbidden.test(s)),
        [],
        file,
      );
  }
  const concrete = sources.filter((file) => importsOf(file).some((s) => /\/(sqlite|redis|quorum)\//.test(s)));
  t.same(
    concrete.filter((file) => !/^src\/store\/(sqlite|redis|quorum)\//.test(file)),
    ["src/store/backup.ts", "src/store/examine.ts", "src/store/open.ts"],
    "concrete stores are named where one is opened or examined, and nowhere else",
  );
});

t.test("files stay small, are named for what they hold, and export by name", async (t) => {
  for (const file of sources) {
    t.ok(read(file).split("\n").length <= 401, `${file} has 400 lines at most`);
    t.match(file.split("/").pop(), /^[a-z0-9]+(-[a-z0-9]+)*(\.d)?\.tsx?$/, `${file} is in kebab-case`);
    t.notMatch(file, /(utils?|helpers?|common|types|interfaces|constants)\.ts$/, file);
    // A shim declares what the library has.
    if (!file.endsWith(".d.ts")) t.notMatch(read(file), /^export default/m, `${file} has no default export`);
    t.notMatch(read(file), /\bclass \w*(Manager|Service|Base|Impl)\b/, file);
  }
});

t.test("every Lua script says what it does, what it takes and what it returns, in 60 lines", async (t) => {
  const scripts = filesIn("src", /\.lua$/);
  t.ok(scripts.length >= 8, "there are scripts");
  for (const file of scripts) {
    const text = read(file);
    const head = text.split("\n").filter((line) => line.startsWith("--"));
    t.ok(text.split("\n").length <= 61, `${file} has 60 lines at most`);
    const hasKeys = text.split("\n").some((line) => !line.startsWith("--") && /KEYS\[/.test(line));
    if (hasKeys)
      t.ok(
        head.some((line) => /KEYS\[1\]/.test(line)),
        `${file} names its keys`,
      );
    t.ok(
      head.some((line) => /Returns/i.test(line)),
      `${file} says what it returns`,
    );
    if (/ARGV\[/.test(text))
      t.ok(
        head.some((line) => /ARGV\[1\]/.test(line)),
        `${file} names its arguments`,
      );
  }
});

t.test("every problem code is documented, and nothing else is documented as one", async (t) => {
  const documented = [...read("docs/problems.md").matchAll(/^## ([a-z-]+)$/gm)].map((match) => match[1]);
  t.same([...documented].sort(), Object.keys(problems).sort());
});

t.test("decisions are numbered once, named in the index and short", async (t) => {
  const pages = filesIn("docs/decisions", /^\d{4}-.*\.md$/);
  const numbers = pages.map((page) => page.match(/(\d{4})-/)?.[1]);
  t.equal(new Set(numbers).size, pages.length, "each number stands once");
  const index = read("docs/decisions/README.md");
  for (const page of pages) {
    t.ok(read(page).split("\n").length <= 60, `${page} is half a screen or so`);
    t.match(read(page), /Status/, `${page} has a status`);
    t.ok(index.includes(`(${page.split("/").pop()})`), `${page} is in the index (\`npm run docs\` writes it)`);
  }
  const runtime = Object.keys((JSON.parse(read("package.json")) as { dependencies: object }).dependencies);
  const reasons = read("docs/decisions/0001-dependencies.md");
  for (const name of runtime) t.ok(reasons.includes(`\`${name}\``), `the dependency ${name} has its reason`);
});

t.test("the lockfile names every optional package, those of other platforms too, or npm ci refuses it", async (t) => {
  type Entry = { optionalDependencies?: Record<string, string> };
  const { packages } = JSON.parse(read("package-lock.json")) as { packages: Record<string, Entry> };
  for (const [where, { optionalDependencies = {} }] of Object.entries(packages)) {
    for (const name of Object.keys(optionalDependencies)) {
      const isThere = packages[`node_modules/${name}`] ?? packages[`${where}/node_modules/${name}`];
      t.ok(isThere, `${name}, wanted by ${where || "the project"}`);
    }
  }
});
