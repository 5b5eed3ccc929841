import t from "tap";
import { Lookout } from "../../src/observe/lookout.js";

function opened() {
  const state = { nowMs: 1000, looks: 0, answer: (): Promise<string> => Promise.resolve("first") };
  const look = () => {
    state.looks++;
    return state.answer();
  };
  const pace = { everyMs: 100, patienceMs: 5, believedMs: 300, now: () => state.nowMs };
  return { state, lookout: new Lookout(look, pace) };
}

t.test("nobody looks before somebody asks, and nothing is known then", async (t) => {
  const { state, lookout } = opened();
  t.equal(lookout.seen(), undefined);
  t.equal(state.looks, 0);
});

t.test("however often it is asked for, it is looked at once in its time", async (t) => {
  const { state, lookout } = opened();
  await Promise.all([lookout.refresh(), lookout.refresh()]);
  t.same(lookout.seen(), { value: "first", ageMs: 0 });
  state.nowMs += 99;
  await lookout.refresh();
  t.same(lookout.seen(), { value: "first", ageMs: 99 });
  t.equal(state.looks, 1);
  state.nowMs += 1;
  state.answer = () => Promise.resolve("second");
  await lookout.refresh();
  t.same(lookout.seen(), { value: "second", ageMs: 0 });
});

t.test(
  "a look that takes long keeps nobody waiting, is not repeated meanwhile, and counts when it is over",
  async (t) => {
    const { state, lookout } = opened();
    let arrive: (text: string) => void = () => {};
    state.answer = () =>
      new Promise((resolve) => {
        arrive = resolve;
      });
    await lookout.refresh();
    t.equal(lookout.seen(), undefined);
    state.nowMs += 200;
    const asked = lookout.refresh();
    t.equal(state.looks, 1);
    arrive("late");
    await asked;
    t.same(lookout.seen(), { value: "late", ageMs: 200 }, "as old as the look");
  },
);

t.test("what was seen is believed for a while when looks fail, and then nothing is known", async (t) => {
  const { state, lookout } = opened();
  await lookout.refresh();
  state.answer = () => Promise.reject(new Error("away"));
  state.nowMs += 100;
  await lookout.refresh();
  t.equal(state.looks, 2);
  t.same(lookout.seen(), { value: "first", ageMs: 100 });
  state.nowMs += 199;
  await lookout.refresh();
  t.ok(lookout.seen());
  state.nowMs += 1;
  t.equal(lookout.seen(), undefined);
});
