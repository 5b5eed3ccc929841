import t from "tap";
import { compileTrust } from "../../src/proxy/trust.js";

t.test("true trusts every peer, false none", async (t) => {
  t.equal(compileTrust(true)("203.0.113.1"), true);
  t.equal(compileTrust(false)("127.0.0.1"), false);
});

t.test("a list trusts the peers in its blocks, in either spelling of an IPv4 address", async (t) => {
  const isTrusted = compileTrust(["10.0.0.0/8", "192.0.2.7", "fd00::/8", "::ffff:172.16.0.0/108", "2001:db8::1"]);
  const inside = [
    "10.0.0.1",
    "10.255.255.255",
    "::ffff:10.1.2.3",
    "192.0.2.7",
    "fd12::1",
    "172.16.9.9",
    "172.31.255.255",
    "2001:db8::1",
  ];
  for (const address of [...inside, "::FFFF:192.0.2.7", "fd00::1%eth0"]) t.equal(isTrusted(address), true, address);
  const outside = ["11.0.0.1", "192.0.2.8", "::1", "fe80::1", "172.32.0.0", "2001:db8::2", "::ffff:11.0.0.1"];
  for (const address of [...outside, "", "unix:", "10.0.0.1, 1.2.3.4", undefined])
    t.equal(isTrusted(address), false, String(address));
});

t.test("blocks of any width, from everybody to nobody", async (t) => {
  t.equal(compileTrust(["0.0.0.0/0"])("203.0.113.1"), true);
  t.equal(compileTrust(["0.0.0.0/0"])("2001:db8::1"), false);
  t.equal(compileTrust(["::/0"])("2001:db8::1"), true);
  t.equal(compileTrust(["10.0.0.1/32"])("10.0.0.2"), false);
  t.equal(compileTrust([])("127.0.0.1"), false);
});

t.test("what is no block is refused", async (t) => {
  for (const block of [
    "",
    "x",
    "10.0.0.0/33",
    "10.0.0.0/",
    "10.0.0.0/-1",
    "10.0.0/8",
    "::/129",
    "::ffff:10.0.0.0/95",
    "10.0.0.0/8/8",
  ]) {
    t.throws(() => compileTrust([block]), { name: "RangeError" }, block);
  }
});
