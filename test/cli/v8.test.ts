import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import t from "tap";

const dist = (path: string) => JSON.stringify(fileURLToPath(new URL(`../../dist/${path}`, import.meta.url)));

/** In a process of its own, with all that the gateway loads: what `script` prints, as JSON. */
function inGateway(script: string): unknown {
  const source = `
    const isFast = new Function("object", "return %HasFastProperties(object)");
    await import(${dist("cli/serve.js")});
    const { keepRequestsYoung, mendStrings } = await import(${dist("cli/v8.js")});
    ${script}`;
  const args = ["--allow-natives-syntax", "--input-type=module", "--eval", source];
  return JSON.parse(execFileSync(process.execPath, args, { encoding: "utf8", timeout: 60_000 }));
}

t.test("strings have their methods at hand again, whatever the libraries did to their prototype", async (t) => {
  const told = inGateway(`
    class Damage extends String {}
    const damaged = isFast(String.prototype);
    mendStrings();
    console.log(JSON.stringify({ damaged, mended: isFast(String.prototype), text: new Damage("as ever").slice(3) }));`);
  t.same(told, { damaged: false, mended: true, text: "ever" });
});

t.test("what requests are made of has fast prototypes once the gateway has begun", async (t) => {
  const told = inGateway(`
    keepRequestsYoung();
    mendStrings();
    const all = { String, Array, Object, Function, Promise, Map, Set, RegExp, Number, Uint8Array, Buffer, Date };
    console.log(JSON.stringify(Object.keys(all).filter((name) => !isFast(all[name].prototype))));`);
  t.same(told, []);
});
