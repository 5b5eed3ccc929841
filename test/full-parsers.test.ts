import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import t from "tap";

// Every test of the request path once more with `server.fastPath: false`: node's and undici's parsers read and write
// every message, and nothing that a client or an upstream can see may differ.

const root = fileURLToPath(new URL(".", import.meta.url));
const files = ["proxy", "spec"]
  .flatMap((folder) => readdirSync(join(root, folder), { recursive: true }).map((file) => join(folder, String(file))))
  .filter((file) => file.endsWith(".test.ts") && readFileSync(join(root, file), "utf8").includes('/gateway.js"'))
  .sort();

t.ok(files.length >= 15, "there are tests of the request path");
for (const file of files) {
  const env = { ...process.env, FAST_PATH: "off" };
  t.spawn(process.execPath, [...process.execArgv, join(root, file)], { env }, `fastPath off: ${file}`);
}
