import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import t from "tap";
import { parse, parseAllDocuments } from "yaml";
import { run } from "../src/cli/run.js";
import { formatMistake } from "../src/config/findings.js";
import { loadConfig } from "../src/config/load.js";
import { reference } from "../src/config/reference.js";

const root = fileURLToPath(new URL("..", import.meta.url));
const read = (file: string) => readFileSync(join(root, file), "utf8");
const pages = [
  "README.md",
  "CHANGELOG.md",
  "SECURITY.md",
  "helm/README.md",
  ...readdirSync(join(root, "docs"), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".md"))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
    .sort(),
];
const env = { ADMIN_TOKEN: "a-token-of-the-test", REDIS_URL: "redis://localhost:6379/0" };

interface Block {
  readonly language: string;
  readonly text: string;
  /** Page and line, to be told. */
  readonly where: string;
}

/** Fenced code, and files that a shell block writes by `<<'YAML'`. */
function blocksOf(page: string): Block[] {
  const source = read(page);
  const whereOf = (at: number) => `${page}:${source.slice(0, at).split("\n").length}`;
  return [...source.matchAll(/^( *)```(\w+)\n([\s\S]*?)^\1```$/gm)].flatMap((found) => {
    const [, , language = "", text = ""] = found;
    const where = whereOf(found.index);
    const written = [...text.matchAll(/<<'YAML'[^\n]*\n([\s\S]*?)^YAML$/gm)];
    return [{ language, text, where }, ...written.map((file) => ({ language: "yaml", text: file[1]!, where }))];
  });
}

/** As GitHub makes them: lower case, punctuation dropped, spaces to hyphens. */
function anchorsOf(page: string): string[] {
  const prose = read(page).replace(/^```[\s\S]*?^```$/gm, "");
  return [...prose.matchAll(/^#+ (.+)$/gm)].map((heading) =>
    heading[1]!
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, "")
      .replace(/ /g, "-"),
  );
}

t.test("links between pages lead somewhere, their anchors too", async (t) => {
  let count = 0;
  for (const page of pages) {
    const prose = read(page)
      .replace(/^ *```[\s\S]*?^ *```$/gm, "")
      .replace(/`[^`\n]*`/g, "");
    for (const [, target = ""] of prose.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target)) continue;
      count++;
      const [path = "", anchor] = target.split("#");
      const file = path === "" ? page : relative(root, resolve(root, dirname(page), path));
      if (!t.ok(existsSync(join(root, file)), `${page} -> ${target}`)) continue;
      if (anchor !== undefined && file.endsWith(".md")) {
        t.ok(anchorsOf(file).includes(anchor), `${page} -> ${target}: there is such a heading`);
      }
    }
  }
  t.ok(count > 80, `${count} links were looked at`);
});

t.test("the index names every page of docs and how-to", async (t) => {
  const index = read("docs/README.md");
  const folders = ["docs", "docs/how-to"];
  for (const page of pages.filter((page) => folders.includes(dirname(page)) && page !== "docs/README.md")) {
    t.ok(index.includes(`(${relative("docs", page)})`), page);
  }
});

/** The gateway's own part of a YAML document: the whole of it, or what is under the chart's `config`. */
function configIn(document: unknown): object | undefined {
  const group = document as { routes?: unknown; config?: { routes?: unknown } } | null;
  for (const candidate of [group, group?.config]) {
    if (Array.isArray(candidate?.routes) && candidate.routes.length > 0) return candidate;
  }
  return undefined;
}

t.test("every YAML in the pages is well-formed, and every configuration in them passes check", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "docs-"));
  t.teardown(() => rmSync(folder, { recursive: true }));
  let count = 0;
  for (const { text, where } of pages.flatMap(blocksOf).filter(({ language }) => /^ya?ml$/.test(language))) {
    const documents = parseAllDocuments(text);
    const mistakes = documents.flatMap(({ errors }) => errors.map(({ message }) => message));
    if (!t.same(mistakes, [], `${where} is YAML`)) continue;
    const config = configIn(documents[0]?.toJS());
    if (config === undefined) continue;
    count++;
    const file = join(folder, `${count}.yaml`);
    // JSON is YAML; a configuration that stands alone is loaded as it is written.
    writeFileSync(file, "config" in (parse(text) as object) ? JSON.stringify(config) : text);
    const loaded = loadConfig(file, env);
    t.same(loaded.kind === "bad" ? loaded.mistakes.map(formatMistake) : [], [], where);
  }
  t.ok(count >= 6, `${count} configurations were looked at`);
});

/** Options in the order they are written, from the command's name to the end of the command. */
function commandsOf(text: string): { command: string; options: string[] }[] {
  const lines = text.replace(/\\\n/g, " ").replace(/'[^'\n]*'|"[^"\n]*"/g, "''");
  const calls = [
    ...lines.matchAll(/(?:(?<![=/\w-])idempotency-gateway|dist\/main\.js)(?: (?=-)| ([a-z]+))([^\n|;&#]*)/g),
    ...lines.matchAll(/^\s*(records) (?=list|get|delete|resolve)([^\n|;&#]*)/gm),
  ];
  return calls.map(([, command = "serve", rest = ""]) => ({
    command,
    options: [...rest.matchAll(/(?:^|[ [])(--[a-z][a-z-]*)/g)].map((option) => option[1]!),
  }));
}

t.test("every command and option of ours that a page names exists", async (t) => {
  const usages = new Map<string, string>();
  const usageOf = async (command: string) => {
    if (!usages.has(command)) {
      let said = "";
      const stdout = {
        write(text: string) {
          said += text;
        },
      };
      const code = await run([command, "--help"], { stdout, stderr: { write() {} }, env, cwd: root } as never);
      usages.set(command, code === 0 ? said : "");
    }
    return usages.get(command)!;
  };
  let count = 0;
  for (const page of pages) {
    const spans = [...read(page).matchAll(/`([^`\n]+)`/g)].map((span) => span[1]!);
    const shell = blocksOf(page).filter(({ language }) => /^(sh|bash|console|dockerfile)$/.test(language));
    for (const { command, options } of [...spans, ...shell.map(({ text }) => text)].flatMap(commandsOf)) {
      // A word after the program's name in running text: `idempotency-gateway COMMAND`, an image's name.
      if (command === "" || options.length === 0) continue;
      const usage = await usageOf(command);
      t.not(usage, "", `${page}: there is a command ${command}`);
      for (const option of options) {
        count++;
        t.match(usage, new RegExp(`(?<![\\w-])${option}(?![\\w-])`), `${page}: ${command} ${option}`);
      }
    }
  }
  t.ok(count >= 25, `${count} options were looked at`);
});

t.test("every npm script that a page names exists", async (t) => {
  const { scripts } = JSON.parse(read("package.json")) as { scripts: Record<string, string> };
  for (const page of pages) {
    for (const [, name = ""] of read(page).matchAll(/npm run (?:--silent )?([a-z][a-z:]*)/g)) {
      t.ok(Object.hasOwn(scripts, name), `${page}: npm run ${name}`);
    }
  }
});

t.test("every setting that a how-to names with its group exists", async (t) => {
  const settings = [...reference().matchAll(/^\| `([\w.[\]]+)` \|/gm)].map((row) => row[1]!);
  t.ok(settings.length > 50, "the reference was read");
  const chart = [...read("helm/README.md").matchAll(/^\| `([\w.]+)` \|/gm)].map((row) => row[1]!);
  const named =
    /^(?:server|admin|store|logging|upstream|idempotency|key|fingerprint|outcomes|probe|response|match)(?:\.\w+)+$/;
  let count = 0;
  for (const page of ["docs/quick-start.md", "docs/comparison.md", ...pages.filter((p) => p.includes("/how-to/"))]) {
    for (const [, span = ""] of read(page).matchAll(/`([^`\n]+)`/g)) {
      if (!named.test(span)) continue;
      count++;
      const isThere = settings.some((name) => name === span || name.endsWith(`.${span}`));
      // A group is named as well: store.locks.
      const isGroup = settings.some((name) => name.includes(`${span}.`));
      t.ok(isThere || isGroup || chart.includes(span), `${page}: ${span}`);
    }
  }
  t.ok(count >= 15, `${count} settings were looked at`);
});

interface ComposeService {
  readonly image?: string;
  readonly build?: string;
  readonly command?: string[];
  readonly volumes?: string[];
  readonly depends_on?: Record<string, object>;
  readonly healthcheck?: object;
  readonly environment?: Record<string, string>;
}

t.test(
  "the compose example is whole: names, files, the store's settings and the gateway's configuration",
  async (t) => {
    const folder = join(root, "examples/compose");
    type Compose = { services: Record<string, ComposeService>; volumes: Record<string, unknown> };
    const { services, volumes } = parse(read("examples/compose/compose.yaml")) as Compose;
    for (const [name, service] of Object.entries(services)) {
      t.ok(service.image ?? service.build, `${name} has an image`);
      for (const needed of Object.keys(service.depends_on ?? {})) {
        t.ok(services[needed]?.healthcheck, `${name} waits for ${needed}, which says when it is healthy`);
      }
      for (const mount of service.volumes ?? []) {
        const [from = ""] = mount.split(":");
        const isThere = from.startsWith(".") ? existsSync(join(folder, from)) : Object.hasOwn(volumes, from);
        t.ok(isThere, `${name} mounts ${from}, which is there`);
      }
    }
    const dockerfile = join(folder, services.gateway?.build ?? "", "Dockerfile");
    t.ok(existsSync(dockerfile), "the image's Dockerfile is there");
    const redis = (services.redis?.command ?? []).join(" ");
    t.match(redis, /--appendonly yes/);
    t.match(redis, /--maxmemory-policy noeviction/);

    // Where the image looks for it, by its default command.
    const inImage = /"--config", "([^"]+)"/.exec(readFileSync(dockerfile, "utf8"))?.[1] ?? "";
    const mounts = (services.gateway?.volumes ?? []).map((mount) => mount.split(":"));
    const mount = mounts.find(([, to = "-"]) => inImage.startsWith(`${to}/`));
    const file = join(folder, mount?.[0] ?? "", relative(mount?.[1] ?? "", inImage));
    t.ok(statSync(file).isFile(), `${inImage} is ${relative(root, file)}`);
    t.same(Object.keys(services.gateway?.environment ?? {}), ["ADMIN_TOKEN"]);
    const loaded = loadConfig(file, env);
    t.same(loaded.kind === "bad" ? loaded.mistakes.map(formatMistake) : [], []);
    if (loaded.kind !== "ok") return;
    t.same(loaded.warnings.map(formatMistake), []);
    const { store, routes, admin } = loaded.config;
    const hosts = routes.map(({ upstream }) => new URL(upstream.origin).hostname);
    if (store.type === "redis") hosts.push(new URL(store.url).hostname);
    for (const host of new Set(hosts)) t.ok(Object.hasOwn(services, host), `${host} is a service`);
    t.equal(store.type, "redis");
    t.equal(admin.host, "0.0.0.0", "published, so it cannot be on the container's loopback");
  },
);
