// Debian's packages as files in a folder: nothing is installed, and no root is needed.
import { execFile } from "node:child_process";
import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const apt = { timeout: 120_000, maxBuffer: 16 << 20 };

/**
 * Unpacks these packages, and nothing they depend on, into `folder`/root; `cache` keeps apt's lists where the machine has
 * none of its own. A name may be a list of alternatives, the first that there is is taken.
 */
export async function unpackPackages(names, folder, cache) {
  await mkdir(folder, { recursive: true });
  const options = await packageLists([names[0]].flat()[0], cache);
  const chosen = [];
  for (const name of names) chosen.push(Array.isArray(name) ? await firstKnown(name, options) : name);
  await run("apt-get", [...options, "download", ...chosen], { ...apt, cwd: folder });
  for (const file of await readdir(folder)) {
    if (file.endsWith(".deb")) await run("dpkg", ["-x", join(folder, file), join(folder, "root")], apt);
  }
  return join(folder, "root");
}

async function isKnown(name, options) {
  const { stdout } = await run("apt-cache", [...options, "policy", name], apt);
  return /Candidate: \d/.test(stdout);
}

async function firstKnown(names, options) {
  for (const name of names) if (await isKnown(name, options)) return name;
  throw new Error(`Debian here has no package ${names.join(" or ")}`);
}

/** The options that make apt use the machine's package lists, or, where it has none, its own. */
async function packageLists(name, cache) {
  const sandbox = process.getuid?.() === 0 ? ["-o", "APT::Sandbox::User=root"] : [];
  if (await isKnown(name, sandbox)) return sandbox;
  const own = [...sandbox, "-o", `Dir::State::lists=${join(cache, "lists")}`, "-o", `Dir::Cache=${join(cache, "apt")}`];
  await mkdir(join(cache, "lists", "partial"), { recursive: true });
  await mkdir(join(cache, "apt", "archives", "partial"), { recursive: true });
  await run("apt-get", [...own, "update"], apt);
  return own;
}
