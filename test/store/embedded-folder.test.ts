import { mkdtempSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { check } from "../../src/cli/check.js";
import { doctor } from "../../src/cli/doctor.js";
import { records } from "../../src/cli/records.js";
import { isSafe } from "../../src/store/sqlite/library.js";
import { answer, asking, leaseOn, newKey, origin, states } from "./contract-material.js";
import { bundled, embeddedIn } from "./embedded-harness.js";

const thread = await bundled(t, "src/store/sqlite/thread-main.ts");

function configFor(path: string): { file: string; folder: string } {
  const folder = mkdtempSync(join(tmpdir(), "config-"));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, "gateway.yaml");
  const route = "routes:\n  - name: pay\n    match: { path: /pay }\n    upstream: { url: http://127.0.0.1:1 }\n";
  writeFileSync(file, `store: { type: embedded, path: ${JSON.stringify(path)} }\n${route}`);
  return { file, folder };
}

function ioIn(cwd: string) {
  const text: string[] = [];
  const write = (part: string) => void text.push(part);
  return { io: { stdout: { write }, stderr: { write }, env: {}, cwd }, text: () => text.join("") };
}

t.test("a folder of the former format is refused by the start, check and doctor, and not touched", async (t) => {
  for (const name of ["format", "records.mdb"]) {
    const embedded = embeddedIn(thread);
    t.teardown(() => embedded.close());
    writeFileSync(join(embedded.path, name), "what was there");
    await t.rejects(embedded.open(), { message: /holds records in the format before SQLite.*not touched/ });
    const { file, folder } = configFor(embedded.path);
    const checked = ioIn(folder);
    t.equal(check(["--config", file], checked.io), 1);
    t.match(checked.text(), /store\.path: the data folder .* holds records in the format before SQLite/);
    const diagnosed = ioIn(folder);
    t.equal(await doctor(["--config", file], diagnosed.io), 1);
    t.match(diagnosed.text(), /holds records in the format before SQLite/);
    t.same(readdirSync(embedded.path), [name]);
  }
});

t.test("records backup copies every record while the store is in use", async (t) => {
  const embedded = embeddedIn(thread);
  t.teardown(() => embedded.close());
  const store = await embedded.open();
  const leases = await Promise.all(Object.values(states).map((make) => make(store, newKey())));
  const { file, folder } = configFor(embedded.path);
  let isOver = false;
  const writing = (async () => {
    while (!isOver) {
      const lease = leaseOn(newKey());
      await store.claim(asking(lease));
      await store.complete(lease, answer("meanwhile"), origin);
    }
  })();
  const target = mkdtempSync(join(tmpdir(), "restored-"));
  t.teardown(() => rmSync(target, { recursive: true, force: true }));
  const copy = join(target, "records.sqlite");
  const done = ioIn(folder);
  t.equal(await records(["backup", copy, "--config", file], done.io), 0, done.text());
  isOver = true;
  await writing;
  t.equal(statSync(copy).mode & 0o077, 0, "no other user may read it");
  const views = await Promise.all(leases.map(({ key }) => store.peek(key, true)));
  const restored = embeddedIn(thread);
  t.teardown(() => restored.close());
  rmSync(restored.path, { recursive: true });
  renameSync(target, restored.path);
  const opened = await restored.open();
  t.same(await Promise.all(leases.map(({ key }) => opened.peek(key, true))), views);

  const refusals = [
    [["backup", copy], 2, /--config FILE is missing/],
    [["backup", "--config", file], 2, /one file to write to is needed/],
    [["backup", file, "--config", file], 1, /exists/],
    [["backup", copy, "--config", configFor(folder).file], 1, /there are no records in/],
  ] as const;
  for (const [args, code, message] of refusals) {
    const refused = ioIn(folder);
    t.equal(await records(args, refused.io), code);
    t.match(refused.text(), message);
  }
});

t.test("versions of SQLite that may lose a commit are not used", async (t) => {
  for (const version of ["3.51.2", "3.50.9", "3.9.0", "2.99.99"]) t.notOk(isSafe(version), version);
  for (const version of ["3.51.3", "3.51.10", "3.53.0", "4.0.0"]) t.ok(isSafe(version), version);
});
