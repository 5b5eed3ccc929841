// The fences that need the code read: part of `test/house.test.ts`. What breaks them today is listed in
// `house-allowance.json`; the list may only get shorter. `HOUSE_SHRINK=1 npx tap run test/house.test.ts` shortens it.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import t, { type Test } from "tap";
import ts from "typescript";

const root = fileURLToPath(new URL("..", import.meta.url));
const allowanceFile = fileURLToPath(new URL("house-allowance.json", import.meta.url));
type Lists = "cycles" | "namesDeclaredTwice" | "upwardInsideRooms" | "undeclaredImports" | "longFunctions";
const allowance = JSON.parse(readFileSync(allowanceFile, "utf8")) as Record<Lists, string[]> & {
  words: Record<string, number>;
};
const mayShrink = process.env.HOUSE_SHRINK !== undefined;

const filesIn = (folder: string, ending: RegExp): string[] =>
  readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && ending.test(entry.name) && !/node_modules|results/.test(entry.parentPath))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
    .sort();
const texts = new Map(filesIn("src", /\.ts$/).map((file) => [file, readFileSync(join(root, file), "utf8")]));
const parsed = new Map(
  [...texts].map(([file, text]) => [file, ts.createSourceFile(file, text, ts.ScriptTarget.Latest)]),
);

/** Fails for what is not on the list, and for what is on the list and not found any more. */
function onlyAllowed(t: Test, list: Lists, found: readonly string[]): void {
  const unknown = found.filter((item) => !allowance[list].includes(item));
  const stale = allowance[list].filter((item) => !found.includes(item));
  t.same(unknown, [], `${list}: nothing new`);
  if (mayShrink) allowance[list] = allowance[list].filter((item) => found.includes(item));
  else t.same(stale, [], `${list}: what is mended is taken off the list (HOUSE_SHRINK=1 does it)`);
}

const importsOf = (text: string): string[] =>
  [...text.matchAll(/(?:from|import)\s*\(?\s*["']([^"'\n]+)["']/g)].map((match) => match[1] as string);
const edges = new Map(
  [...texts].map(([file, text]) => [
    file,
    importsOf(text)
      .filter((specifier) => specifier.startsWith("."))
      .map((specifier) => join(dirname(file), specifier).replace(/\.js$/, ".ts"))
      .filter((target) => texts.has(target)),
  ]),
);

/** Tarjan: the sets of files of which each can be reached from each. */
function circles(): string[] {
  const order = new Map<string, number>();
  const low = new Map<string, number>();
  const stack: string[] = [];
  const found: string[] = [];
  const visit = (file: string): void => {
    order.set(file, order.size);
    low.set(file, order.get(file) as number);
    stack.push(file);
    for (const target of edges.get(file) ?? []) {
      if (!order.has(target)) visit(target);
      if (stack.includes(target)) low.set(file, Math.min(low.get(file) as number, low.get(target) as number));
    }
    if (low.get(file) !== order.get(file)) return;
    const circle = stack.splice(stack.indexOf(file));
    if (circle.length > 1) found.push(circle.sort().join(" "));
  };
  for (const file of edges.keys()) if (!order.has(file)) visit(file);
  return found.sort();
}

t.test("no files import one another in a circle, types included", async (t) => onlyAllowed(t, "cycles", circles()));

/** Inside a room, from the top down: a folder imports only from folders after it. Files of the room itself are free. */
const insideRooms: Readonly<Record<string, readonly (readonly string[])[]>> = {
  proxy: [["lanes"], ["inbound"], ["reply"], ["policy-page"], ["upstream"], ["http1"]],
  config: [["derived"], ["check"], ["yaml", "schema"], ["formats"]],
  store: [["quorum"], ["redis", "sqlite", "postgres", "embedded"]],
};

t.test("inside a room imports go strictly downward, too", async (t) => {
  const found = [...edges].flatMap(([file, targets]) =>
    targets
      .filter((target) => {
        const [, room, folder] = file.split("/");
        const [, otherRoom, otherFolder] = target.split("/");
        const floors = insideRooms[room ?? ""];
        if (room !== otherRoom || folder === otherFolder || floors === undefined) return false;
        const [from, to] = [folder, otherFolder].map((name) => floors.findIndex((floor) => floor.includes(name ?? "")));
        return from !== -1 && to !== -1 && (to as number) <= (from as number);
      })
      .map((target) => `${file} -> ${target}`),
  );
  onlyAllowed(t, "upwardInsideRooms", found.sort());
});

t.test("no name is declared at the top of two files", async (t) => {
  const places = new Map<string, Set<string>>();
  const add = (name: string, file: string) => places.set(name, (places.get(name) ?? new Set()).add(file));
  for (const [file, source] of parsed) {
    if (file.endsWith(".d.ts")) continue;
    for (const statement of source.statements) {
      if (ts.isVariableStatement(statement))
        for (const { name } of statement.declarationList.declarations) if (ts.isIdentifier(name)) add(name.text, file);
      const { name } = statement as ts.Statement & { name?: ts.Node };
      if (name !== undefined && ts.isIdentifier(name)) add(name.text, file);
    }
  }
  const twice = [...places].filter(([, files]) => files.size > 1).map(([name, files]) => `${name} ${files.size}`);
  onlyAllowed(t, "namesDeclaredTwice", twice.sort());
});

t.test("a function fits on a screen", async (t) => {
  const found: string[] = [];
  for (const [file, source] of parsed) {
    const visit = (node: ts.Node): void => {
      if (ts.isFunctionLike(node) && "body" in node && node.body !== undefined) {
        const line = (position: number) => source.getLineAndCharacterOfPosition(position).line;
        const lines = line(node.getEnd()) - line(node.getStart(source)) + 1;
        if (lines > 60) found.push(`${file} ${node.name?.getText(source) ?? "(no name)"}`);
      }
      ts.forEachChild(node, visit);
    };
    visit(source);
  }
  onlyAllowed(t, "longFunctions", found.sort());
});

t.test("what is imported is declared in package.json", async (t) => {
  type Package = { dependencies: object; devDependencies: object };
  const { dependencies, devDependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as Package;
  const forAll = new Set(Object.keys(dependencies));
  const forTests = new Set([...forAll, ...Object.keys(devDependencies)]);
  const found = new Set<string>();
  for (const [room, allowed] of [
    ["src", forAll],
    ["test", forTests],
    ["bench", forTests],
    ["scripts", forTests],
  ] as const) {
    for (const file of filesIn(room, /\.(ts|mts|mjs|js)$/)) {
      const text = readFileSync(join(root, file), "utf8");
      const imports = text.matchAll(
        /^(?:import|export)\b[^"'`;=]*?\bfrom\s+["']([^"'\n]+)["']|^import\s+["']([^"'\n]+)["']|\bimport\(\s*["']([^"'\n$]+)["']\s*\)/gm,
      );
      for (const match of imports) {
        const specifier = (match[1] ?? match[2] ?? match[3]) as string;
        const name = specifier
          .split("/")
          .slice(0, specifier.startsWith("@") ? 2 : 1)
          .join("/");
        if (!/^(\.|\/|node:|file:)/.test(specifier) && !allowed.has(name)) found.add(`${file} ${name}`);
      }
    }
  }
  onlyAllowed(t, "undeclaredImports", [...found].sort());
});

t.test("words that have to be read twice become fewer", async (t) => {
  const all = [...texts.values()].join("\n").toLowerCase();
  for (const [word, most] of Object.entries(allowance.words)) {
    const count = [...all.matchAll(new RegExp(`\\b${word}\\b`, "g"))].length;
    t.ok(count <= most, `"${word}" stands ${count} times in src, ${most} at most; docs/glossary.md says what to write`);
    if (mayShrink) allowance.words[word] = Math.min(most, count);
  }
});

// Not as a teardown: with one at the top, tap ends the root test as soon as nothing runs (`unit.ts` imports the next file then).
process.on("exit", () => {
  if (mayShrink) writeFileSync(allowanceFile, `${JSON.stringify(allowance, null, 2)}\n`);
});
