#!/usr/bin/env node
// Checks the subjects of the commits since the baseline: 72 characters at most, in the imperative, no full stop, one idea.
import { execFileSync } from "node:child_process";

/** Subjects up to this commit are older than the rule. */
const baseline = "d744087";
const git = (...args) => execFileSync("git", args, { encoding: "utf8" }).trim();

let range = `${baseline}..HEAD`;
try {
  git("merge-base", "--is-ancestor", baseline, "HEAD");
} catch {
  // A shallow copy, or another history: only what is here on top.
  range = "HEAD~1..HEAD";
}
const lines = git("log", "--no-merges", "--format=%h %s", range).split("\n").filter(Boolean);
const wrong = lines.flatMap((line) => {
  const [, hash = "", subject = ""] = /^(\S+) (.*)$/.exec(line) ?? [];
  const [first = ""] = subject.split(" ");
  const reasons = [];
  if (subject.length > 72) reasons.push(`${subject.length} characters`);
  if (!/^[A-Z]/.test(subject)) reasons.push("begins with a small letter");
  if (/[.;]$|; /.test(subject)) reasons.push("holds a semicolon or ends with a full stop");
  if (
    /^(The|A|An|This|That|It|What|When|Some|No|\w+:)$/.test(first) ||
    (/^\w+(ed|ing)$/.test(first) && !/^(Embed|Feed|Need|Speed|Bring|Ping|String)$/.test(first))
  )
    reasons.push("is not in the imperative");
  return reasons.length > 0 ? [`${hash} ${subject}: ${reasons.join(", ")}`] : [];
});
for (const line of wrong) console.error(line);
console.log(`${lines.length - wrong.length} subjects passed, ${wrong.length} failed`);
process.exitCode = wrong.length > 0 ? 1 : 0;
