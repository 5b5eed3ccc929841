import fc from "fast-check";
import t from "tap";
import { ByteCollector } from "../../src/proxy/byte-collector.js";

t.test("what is collected comes out as it went in, whatever the sizes of the parts", async (t) => {
  const part = fc.oneof(fc.nat({ max: 3 }), fc.nat({ max: 600 }), fc.constantFrom(4095, 4096, 4097, 20_000));
  fc.assert(
    fc.property(fc.array(part, { maxLength: 60 }), (sizes) => {
      const parts = sizes.map((size, n) => Buffer.alloc(size, n));
      const collector = new ByteCollector();
      for (const one of parts) collector.add(one);
      const whole = Buffer.concat(parts);
      return collector.bytes === whole.length && collector.take().equals(whole) && collector.bytes === 0;
    }),
    { numRuns: 200 },
  );
  t.pass();
});

t.test("a body of one part is that part, uncopied; an empty one is empty", async (t) => {
  const collector = new ByteCollector();
  const only = Buffer.from("all of it");
  collector.add(only);
  collector.add(Buffer.alloc(0));
  t.equal(collector.take(), only);
  t.equal(collector.take().length, 0);
});

t.test(
  "a body in parts of one byte is kept in few pieces, and does not keep the memory its parts lay in",
  async (t) => {
    const collector = new ByteCollector();
    const read = Buffer.alloc(64 * 1024, "x");
    for (let i = 0; i < 1_000_000; i++) collector.add(read.subarray(i % 65_536, (i % 65_536) + 1));
    const parts = collector.takeParts();
    t.ok(parts.length < 100, `${parts.length} pieces`);
    const heldBytes = new Set(parts.slice(1).map(({ buffer }) => buffer));
    t.ok([...heldBytes].reduce((sum, { byteLength }) => sum + byteLength, 0) < 1_100_000);
  },
);
