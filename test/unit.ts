// `npm run test:unit`: the tests of what needs no process, socket, disk or server, all in this one process.
import { readdirSync } from "node:fs";

const folders = ["rules", "config", "engine"];
const files = [
  "turnover.test.ts",
  "house.test.ts",
  ...["codec", "deadlines", "known-answers", "memory-store", "near-cache"].map((name) => `store/${name}.test.ts`),
  ...folders.flatMap((folder) =>
    readdirSync(new URL(folder, import.meta.url))
      .filter((name) => name.endsWith(".test.ts"))
      .map((name) => `${folder}/${name}`),
  ),
];
for (const file of files) await import(new URL(file, import.meta.url).href);
