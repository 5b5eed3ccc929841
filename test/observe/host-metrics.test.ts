import pino from "pino";
import t from "tap";
import { type HostSources, hostFamilies } from "../../src/observe/host-metrics.js";
import { Lookout } from "../../src/observe/lookout.js";
import { storeExaminer } from "../../src/observe/store-examiner.js";
import type { Finding } from "../../src/store/finding.js";
import type { DoubtCount } from "../../src/store/record-store.js";
import { sampleRoute } from "../sample-config.js";

const safe: Finding = { check: "redis persistence", state: "ok", detail: "append-only file is on" };
const unsafe: Finding = { check: "redis persistence", state: "unsafe", detail: "append-only file is off" };

function opened() {
  const state = {
    nowMs: 0,
    isAway: false,
    draining: false,
    doubts: [] as readonly DoubtCount[],
    findings: [safe] as readonly Finding[],
  };
  const pace = { everyMs: 30_000, patienceMs: 1_000, believedMs: 90_000, now: () => state.nowMs };
  const unless = async <T>(seen: T) => {
    if (state.isAway) throw new Error("away");
    return seen;
  };
  const sources: HostSources = {
    routes: () => [sampleRoute("pay"), sampleRoute("open", null)],
    certificates: () => [{ file: "./tls.crt", notAfterMs: 4_000_000_000_500 }],
    draining: () => state.draining,
    doubts: new Lookout(() => unless(state.doubts), pace),
    findings: new Lookout(() => unless(state.findings), pace),
  };
  const scrape = async () => {
    await Promise.all([sources.doubts.refresh(), sources.findings.refresh()]);
    return hostFamilies(sources).flatMap(({ name, samples }) =>
      [...samples()].map(({ labels, value }) => `${name.slice(20)} ${Object.values(labels).join()} ${value}`),
    );
  };
  return { state, scrape: async (name: string) => (await scrape()).filter((line) => line.startsWith(name)) };
}

t.test("doubts are told for every protected route, and for routes that are no more", async (t) => {
  const { state, scrape } = opened();
  t.same(await scrape("in_doubt"), ["in_doubt_records pay 0", "in_doubt_oldest_age_seconds pay 0"]);
  state.nowMs += 30_000;
  state.doubts = [{ route: "removed", records: 3, oldestAgeMs: 60_000, soonestExpiryMs: 90_000 }];
  await scrape("");
  state.nowMs += 10_000;
  t.same(await scrape("in_doubt"), [
    "in_doubt_records pay 0",
    "in_doubt_records removed 3",
    "in_doubt_oldest_age_seconds pay 0",
    "in_doubt_oldest_age_seconds removed 70",
    "in_doubt_soonest_expiry_seconds removed 80",
  ]);
});

t.test("while nobody knows there is no sample, which is not the same as none in doubt", async (t) => {
  const { state, scrape } = opened();
  state.isAway = true;
  t.same(await scrape("in_doubt"), []);
  t.same(await scrape("store_unsafe"), []);
  state.isAway = false;
  state.nowMs += 30_000;
  t.equal((await scrape("in_doubt")).length, 2);
  state.isAway = true;
  state.nowMs += 89_000;
  t.equal((await scrape("in_doubt")).length, 2, "believed for a while");
  state.nowMs += 1_000;
  t.same(await scrape("in_doubt"), []);
});

t.test("of several servers the worst one counts, and what is no setting does not", async (t) => {
  const { state, scrape } = opened();
  state.findings = [unsafe, safe, { check: "clock skew", state: "unsafe", detail: "an hour" }];
  t.same(await scrape("store_unsafe"), ["store_unsafe_setting persistence 1"]);
  t.same(await scrape("draining"), ["draining  0"]);
  state.draining = true;
  t.same(await scrape("draining"), ["draining  1"]);
});

t.test(
  "what is unsafe is a warning once, and a line when it is mended; a store that is away says nothing",
  async (t) => {
    const lines: string[] = [];
    const log = pino({ base: null, timestamp: false }, { write: (line) => void lines.push(line) });
    let found: readonly Finding[] = [unsafe];
    const examine = storeExaminer(async () => found, log);
    await examine();
    await examine();
    t.equal(lines.length, 1);
    t.match(JSON.parse(lines[0]!), { level: 40, check: "redis persistence", detail: /append-only file is off/ });
    found = [{ check: "redis connection", state: "unsafe", detail: "refused" }];
    await t.rejects(examine(), /refused/);
    t.equal(lines.length, 1, "nobody knows whether it is mended");
    found = [safe];
    await examine();
    t.match(JSON.parse(lines[1]!), { level: 30, check: "redis persistence" });
    found = [unsafe];
    await examine();
    t.equal(lines.length, 3);
  },
);
