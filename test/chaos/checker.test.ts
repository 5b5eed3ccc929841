import t from "tap";
import { check, isNamedBreak } from "./checker.js";
import type { AnswerSeen, Asked, Dispatch, Ending, EndState, History } from "./history.js";

// A checker that finds nothing proves nothing: each kind of wrong history is fabricated here, and must be found.

const dispatched = (n: number, more: Partial<Dispatch> = {}): Dispatch => ({
  n,
  variant: "A",
  atMs: n * 100,
  behaviour: "ok",
  status: 201,
  body: `execution ${n}`,
  isExecuted: true,
  answeredAtMs: n * 100 + 50,
  endedAtMs: n * 100 + 50,
  ...more,
});

const answered = (n: number, more: Partial<AnswerSeen> = {}): AnswerSeen => ({
  kind: "answer",
  status: 201,
  code: undefined,
  isReplayed: false,
  hasAge: false,
  dispatch: n,
  body: `execution ${n}`,
  ...more,
});

const refused = (code: string): AnswerSeen => answered(0, { status: 409, code, dispatch: null, body: "{}" });
const replayed = (n: number): AnswerSeen => answered(n, { isReplayed: true, hasAge: true });

const asked = (result: Asked["result"], more: Partial<Asked> = {}): Asked => ({
  client: "c1",
  gateway: 0,
  variant: "A",
  atMs: 90,
  endedAtMs: 160,
  result,
  ...more,
});

const ended = (state: EndState, dispatches: number, retry: AnswerSeen, more: Partial<Ending> = {}): Ending => ({
  atMs: 5000,
  state,
  cause: state === "in_doubt" ? "reset" : null,
  dispatches,
  retry,
  resolved: undefined,
  ...more,
});

const cutOff = dispatched(1, { behaviour: "reset", answeredAtMs: null });
const notNow = dispatched(1, { behaviour: "release", status: 429 });

const good: History = {
  key: "k",
  sentKey: "k",
  tenant: "one",
  route: "hold",
  store: "embedded",
  hasLocks: false,
  requests: [asked(answered(1)), asked(replayed(1), { client: "c2", atMs: 200, endedAtMs: 210 })],
  dispatches: [dispatched(1)],
  faults: [],
  ending: ended("completed", 1, replayed(1)),
};
const doubted: History = {
  ...good,
  requests: [asked(refused("upstream-reset")), asked(refused("outcome-unknown"), { client: "c2" })],
  dispatches: [cutOff],
  ending: ended("in_doubt", 1, refused("outcome-unknown"), {
    resolved: { outcome: "done", atMs: 5100, retry: replayed(1) },
  }),
};

const flush = { kind: "redis FLUSHALL", gateway: null, fromMs: 180, toMs: 181 };
const flushed: History = {
  ...good,
  store: "redis",
  hasLocks: true,
  faults: [flush],
  requests: [asked(answered(1)), asked(answered(2), { atMs: 190, endedAtMs: 260 })],
  dispatches: [dispatched(1), dispatched(2)],
  ending: ended("completed", 2, replayed(2)),
};

/** The probe tells of the first body's execution; whoever sent the second one is told so. */
const probedForAnother: History = {
  ...flushed,
  route: "probe",
  requests: [
    asked(answered(1)),
    asked(refused("upstream-reset"), { variant: "B", atMs: 190, endedAtMs: 260 }),
    asked(replayed(1), { variant: "B", atMs: 300, endedAtMs: 310 }),
  ],
  dispatches: [dispatched(1), dispatched(2, { variant: "B", behaviour: "reset", answeredAtMs: null, endedAtMs: 250 })],
  ending: ended("completed", 2, replayed(1)),
};

const sound: Record<string, History> = {
  "emptied after the first one was over, and run again": flushed,
  "emptied, run for another body, in doubt, and probed by the key alone": probedForAnother,
  "one execution, replayed": good,
  "cut off, held in doubt, resolved": doubted,
  "released, then run": {
    ...good,
    requests: [asked(answered(1, { status: 429 })), asked(answered(2), { atMs: 190, endedAtMs: 260 })],
    dispatches: [notNow, dispatched(2)],
    ending: ended("completed", 2, replayed(2)),
  },
  "in doubt, run again where the route says so": {
    ...good,
    route: "retry",
    requests: [asked(refused("upstream-reset")), asked(answered(2), { atMs: 190, endedAtMs: 260 })],
    dispatches: [cutOff, dispatched(2)],
    ending: ended("completed", 2, replayed(2)),
  },
  "not carried out, as the probe found": {
    ...good,
    route: "probe",
    requests: [asked(refused("upstream-reset")), asked(answered(2), { atMs: 190, endedAtMs: 260 })],
    dispatches: [{ ...cutOff, isExecuted: false }, dispatched(2)],
    ending: ended("completed", 2, replayed(2)),
  },
  "killed before anything was sent": {
    ...good,
    requests: [asked({ kind: "nothing", why: "reset" }), asked(refused("outcome-unknown"))],
    dispatches: [],
    faults: [{ kind: "kill -9", gateway: 0, fromMs: 100, toMs: 900 }],
    ending: ended("in_doubt", 0, refused("outcome-unknown")),
  },
  "too large to keep": {
    ...good,
    requests: [asked(answered(1)), asked(refused("response-not-stored"))],
    dispatches: [dispatched(1, { behaviour: "large" })],
    ending: ended("not_replayable", 1, refused("response-not-stored")),
  },
  "Redis was away when the answer came": {
    ...good,
    store: "redis",
    requests: [asked(answered(1)), asked(refused("store-unavailable"))],
    faults: [{ kind: "redis-freeze", gateway: null, fromMs: 100, toMs: 900 }],
    ending: ended("in_doubt", 1, refused("outcome-unknown")),
  },
};

const broken: Record<string, [rule: string, history: History]> = {
  "emptied while it ran, and executed again in spite of locks": [
    "never two at once",
    { ...flushed, dispatches: [dispatched(1, { answeredAtMs: 350, endedAtMs: 350 }), dispatched(2)] },
  ],
  "a neighbour's answer": [
    "no answer crosses a scope",
    { ...good, requests: [asked(answered(1, { body: JSON.stringify({ key: "k2" }) }))] },
  ],
  "in doubt for nothing": [
    "a doubt has a cause",
    { ...good, ending: ended("in_doubt", 1, refused("outcome-unknown")) },
  ],
  "in doubt without a word": ["a doubt has a cause", { ...doubted, ending: { ...doubted.ending!, cause: null } }],
  "executed twice": [
    "at most one dispatch",
    { ...good, dispatches: [dispatched(1), dispatched(2)], ending: ended("completed", 2, replayed(2)) },
  ],
  "executed again after it was cut off": ["at most one dispatch", { ...doubted, dispatches: [cutOff, dispatched(2)] }],
  "executed again before the release was answered": [
    "at most one dispatch",
    { ...good, dispatches: [{ ...notNow, answeredAtMs: 300 }, dispatched(2)] },
  ],
  "executed again although the probe could see it": [
    "at most one dispatch",
    { ...doubted, route: "probe", dispatches: [cutOff, dispatched(2)] },
  ],
  "executed by the last request": [
    "at most one dispatch",
    { ...doubted, dispatches: [cutOff, dispatched(2, { atMs: 5001 })] },
  ],
  "run again after it was stored": [
    "a stored answer is final",
    {
      ...good,
      route: "retry",
      requests: [asked(replayed(1), { endedAtMs: 170 })],
      dispatches: [dispatched(1), dispatched(2)],
      ending: ended("completed", 2, replayed(2)),
    },
  ],
  "other bytes": [
    "answers are the execution's",
    { ...good, requests: [asked(answered(1)), asked({ ...replayed(1), body: "execution 1 " })] },
  ],
  "another status": ["answers are the execution's", { ...good, requests: [asked(answered(1, { status: 200 }))] }],
  "an answer out of nowhere": ["answers are the execution's", { ...good, requests: [asked(answered(7))] }],
  "a success that no dispatch gave": [
    "answers are the execution's",
    { ...good, requests: [asked(answered(1, { dispatch: null }))] },
  ],
  "the answer to another body": [
    "answers are the execution's",
    { ...good, requests: [asked(answered(1)), asked(replayed(1), { variant: "B" })] },
  ],
  "the answer to another body where nothing was probed": [
    "answers are the execution's",
    { ...probedForAnother, route: "hold" },
  ],
  "the answer to another body, probed, although nothing was forgotten": [
    "answers are the execution's",
    { ...probedForAnother, faults: [] },
  ],
  "its own answer, to another body": [
    "answers are the execution's",
    { ...probedForAnother, requests: [asked(answered(1), { variant: "B" })] },
  ],
  "other bytes at the end": [
    "answers are the execution's",
    { ...good, ending: ended("completed", 1, { ...replayed(1), body: "?" }) },
  ],
  "two results": [
    "one result for a key",
    {
      ...good,
      requests: [asked(answered(1)), asked(answered(2))],
      dispatches: [dispatched(1), dispatched(2)],
      ending: ended("completed", 2, replayed(2)),
    },
  ],
  "two clients as the first": ["one client executes", { ...good, requests: [asked(answered(1)), asked(answered(1))] }],
  "a fault inside": ["only answers that can be", { ...good, requests: [asked(refused("internal"))] }],
  "a mismatch nobody made": ["only answers that can be", { ...good, requests: [asked(refused("key-reused"))] }],
  "an outage of a store that had none": [
    "only answers that can be",
    { ...good, requests: [asked(refused("store-unavailable"))] },
  ],
  "in flight for ever": ["nothing stays in flight", { ...good, ending: ended("in_flight", 1, refused("in-progress")) }],
  "never looked at": ["nothing stays in flight", { ...good, ending: undefined }],
  "a lost doubt": ["a doubt is kept", { ...doubted, ending: ended("absent", 1, answered(1)) }],
  "an invented answer": ["a doubt is kept", { ...doubted, ending: ended("completed", 1, replayed(1)) }],
  "a status that says perhaps, taken for final": [
    "a doubt is kept",
    { ...good, dispatches: [dispatched(1, { behaviour: "unknown", status: 504 })] },
  ],
  "not done, but kept": ["a release frees the key", { ...good, dispatches: [notNow] }],
  "refused the second time, and the first one forgotten": [
    "a second attempt frees no doubt",
    {
      ...good,
      route: "retry",
      requests: [asked(refused("upstream-reset")), asked(answered(2, { status: 429 }), { atMs: 190, endedAtMs: 260 })],
      dispatches: [cutOff, dispatched(2, { behaviour: "release", status: 429 })],
      ending: ended("absent", 2, answered(3)),
    },
  ],
  "acknowledged, then doubted": [
    "what was acknowledged is kept",
    { ...good, ending: ended("in_doubt", 1, refused("outcome-unknown")) },
  ],
  "answered, then forgotten": [
    "what was acknowledged is kept",
    { ...good, requests: [], ending: ended("absent", 1, answered(1)) },
  ],
  "completed, but not replayed": [
    "the end is what the record says",
    { ...good, ending: ended("completed", 1, refused("outcome-unknown")) },
  ],
  "in doubt, but run": ["the end is what the record says", { ...doubted, ending: ended("in_doubt", 1, answered(1)) }],
  "no answer at the end": [
    "the end is what the record says",
    { ...good, ending: { ...good.ending!, retry: undefined } },
  ],
  "resolved, but still in doubt": [
    "the end is what the record says",
    {
      ...doubted,
      ending: ended("in_doubt", 1, refused("outcome-unknown"), {
        resolved: { outcome: "done", atMs: 5100, retry: refused("outcome-unknown") },
      }),
    },
  ],
};

t.test("the checker accepts what is sound", async (t) => {
  for (const [name, history] of Object.entries(sound)) t.same(check(history), [], name);
});

t.test("the checker finds every kind of broken history", async (t) => {
  for (const [name, [rule, history]] of Object.entries(broken)) {
    t.ok(
      check(history).some((violation) => violation.rule === rule),
      `${name}: ${rule}`,
    );
  }
});

t.test("a store that was emptied is a break with a name, and nothing else is", async (t) => {
  t.equal(isNamedBreak(flushed), true);
  t.equal(isNamedBreak({ ...flushed, faults: [] }), false);
  t.equal(isNamedBreak({ ...good, faults: [flush] }), false);
});
