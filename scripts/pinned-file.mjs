import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { inflateRawSync } from "node:zlib";

/** Everything that is fetched for a test lives here, outside git; deleting it only costs the next run its time. */
export const cacheDir = fileURLToPath(new URL("../.cache/", import.meta.url));

/** Hexadecimal or, as npm writes its integrity, base64. */
export function digestOf(bytes, algorithm, encoding = "hex") {
  return createHash(algorithm).update(bytes).digest(encoding);
}

/** Ends the program unless `bytes` are the ones that were reviewed. */
export function requireDigest(bytes, { algorithm, encoding, expected, what }) {
  const actual = digestOf(bytes, algorithm, encoding);
  if (actual !== expected) throw new Error(`${what}: ${algorithm} is ${actual}, expected ${expected}`);
}

/** The tarball of `spec` as npm gives it out, without running or installing anything; `sha512` as in a lockfile. */
export function npmTarball(spec, sha512) {
  mkdirSync(cacheDir, { recursive: true });
  const folder = mkdtempSync(join(cacheDir, "npm-"));
  try {
    execFileSync("npm", ["pack", "--silent", "--ignore-scripts", "--pack-destination", folder, spec], {
      stdio: ["ignore", "ignore", "inherit"],
      timeout: 300_000,
    });
    const [name] = readdirSync(folder);
    const bytes = readFileSync(join(folder, name));
    requireDigest(bytes, { algorithm: "sha512", encoding: "base64", expected: sha512, what: spec });
    return bytes;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** One member of a zip archive. Sizes come from the central directory: local headers may leave them out. */
export function readZipMember(zip, wanted) {
  const end = zip.lastIndexOf(Buffer.from("PK\x05\x06", "latin1"));
  if (end < 0) throw new Error("not a zip archive");
  let at = zip.readUInt32LE(end + 16);
  for (let left = zip.readUInt16LE(end + 10); left > 0; left -= 1) {
    const nameLength = zip.readUInt16LE(at + 28);
    const name = zip.toString("utf8", at + 46, at + 46 + nameLength);
    if (name === wanted) {
      const local = zip.readUInt32LE(at + 42);
      const from = local + 30 + zip.readUInt16LE(local + 26) + zip.readUInt16LE(local + 28);
      const packed = zip.subarray(from, from + zip.readUInt32LE(at + 20));
      return zip.readUInt16LE(at + 10) === 0 ? packed : inflateRawSync(packed);
    }
    at += 46 + nameLength + zip.readUInt16LE(at + 30) + zip.readUInt16LE(at + 32);
  }
  throw new Error(`the archive has no ${wanted}`);
}

/**
 * For a suite whose tool is not to be had: says why and skips (exit 0), but fails where `CI` promises that
 * everything was run.
 */
export function skipOrFail(suite, reason) {
  const strict = Boolean(process.env.CI) && process.env.CI !== "false";
  process.stderr.write(`${suite}: ${strict ? "FAILED" : "skipped"}: ${reason}\n`);
  process.exit(strict ? 1 : 0);
}
