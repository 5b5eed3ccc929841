import { setTimeout as pause } from "node:timers/promises";
import fc from "fast-check";
import t from "tap";
import { Deadlines, type Due } from "../../src/store/redis/deadlines.js";
import { runs } from "../property-runs.js";

// One timer for many: each that is not removed expires, in its order, once, and not before its time.

class Waiting implements Due {
  dueAtMs = 0;
  before: Due | undefined;
  after: Due | undefined;
  expiredAtMs = 0;
  times = 0;

  constructor(private readonly expired: (self: Waiting) => void) {}

  expire(): void {
    this.times += 1;
    this.expiredAtMs = performance.now();
    this.expired(this);
  }
}

t.test("what is not removed expires in its order, once, and not early", async (t) => {
  const lastsMs = 60;
  const kept = fc.array(fc.boolean(), { minLength: 1, maxLength: 40 });
  await fc.assert(
    fc.asyncProperty(kept, async (kept) => {
      const deadlines = new Deadlines(lastsMs);
      const expired: Waiting[] = [];
      const begunMs = performance.now();
      const all = kept.map(() => new Waiting((self) => expired.push(self)));
      for (const one of all) deadlines.add(one);
      for (const [index, one] of all.entries()) if (!kept[index]) deadlines.remove(one);
      // Twice does no harm, and neither does one that is not there.
      for (const [index, one] of all.entries()) if (!kept[index]) deadlines.remove(one);
      const wanted = all.filter((_, index) => kept[index]);
      while (expired.length < wanted.length && performance.now() < begunMs + 5_000) await pause(5);
      await pause(5);
      const isInOrder = expired.every((one, index) => one === wanted[index] && one.times === 1);
      return (
        isInOrder && expired.length === wanted.length && expired.every((one) => one.expiredAtMs >= begunMs + lastsMs)
      );
    }),
    runs(10, 30),
  );
  t.pass();
});

t.test("one that comes while others wait has its own whole time, and who expires may add and remove", async (t) => {
  const deadlines = new Deadlines(80);
  const order: string[] = [];
  const late = new Waiting(() => order.push("late"));
  const removed = new Waiting(() => order.push("removed"));
  const first = new Waiting(() => {
    order.push("first");
    deadlines.remove(removed);
    deadlines.add(again);
  });
  const again = new Waiting(() => order.push("again"));
  deadlines.add(first);
  deadlines.add(removed);
  await pause(40);
  const addedMs = performance.now();
  deadlines.add(late);
  const endMs = performance.now() + 5_000;
  while (order.length < 3 && performance.now() < endMs) await pause(5);
  t.same(order, ["first", "late", "again"]);
  t.ok(late.expiredAtMs >= addedMs + 80, `after ${late.expiredAtMs - addedMs} ms`);
});
