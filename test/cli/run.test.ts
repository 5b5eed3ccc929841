import t from "tap";
import type { Io } from "../../src/cli/io.js";
import { run } from "../../src/cli/run.js";

interface Said {
  out: string;
  err: string;
}

function ioInto(said: Said, onOut: () => void = () => {}): Io {
  const stdout = {
    write(text: string) {
      onOut();
      said.out += text;
    },
  };
  const stderr = {
    write(text: string) {
      said.err += text;
    },
  };
  return { stdout, stderr, env: {}, cwd: "." };
}

t.test("a fault inside is one line on stderr, never a stack trace, and exits 70", async (t) => {
  const said = { out: "", err: "" };
  const io = ioInto(said, () => {
    throw new Error("nobody expected this");
  });
  t.equal(await run(["schema"], io), 70);
  t.equal(said.err, "idempotency-gateway: a fault inside: nobody expected this\n");
});

t.test("what is no command is told with those there are, and exits 2", async (t) => {
  for (const name of ["bogus", "toString", "__proto__"]) {
    const said = { out: "", err: "" };
    t.equal(await run([name], ioInto(said)), 2);
    t.equal(said.out, "");
    t.match(said.err, `there is no command ${JSON.stringify(name)}`);
    t.match(said.err, /\n {2}serve +run the gateway/);
  }
});

t.test("every command that the usage names explains itself and exits 0", async (t) => {
  const usage = { out: "", err: "" };
  t.equal(await run(["--help"], ioInto(usage)), 0);
  const names = [...usage.out.matchAll(/^ {2}(\w+) {2,}/gm)].map(([, name]) => name as string);
  t.ok(names.length >= 7);
  for (const name of names) {
    const said = { out: "", err: "" };
    t.equal(await run([name, "--help"], ioInto(said)), 0);
    t.match(said.out, `usage: idempotency-gateway ${name}`);
    t.equal(said.err, "");
  }
});
