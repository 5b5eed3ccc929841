import { EventEmitter } from "node:events";
import { Redis } from "ioredis";
import t from "tap";
import { StoreUnavailableError } from "../../src/store/record-store.js";
import { Breaker } from "../../src/store/redis/breaker.js";
import { connectRedis, nodeConfig, redisOptions } from "../../src/store/redis/connect.js";
import { KeyNames, tags } from "../../src/store/redis/keys.js";
import { RedisNode } from "../../src/store/redis/node.js";
import { objection, type RedisFacts } from "../../src/store/redis/preflight.js";
import type { Primaries } from "../../src/store/redis/primaries.js";
import { RedisStore } from "../../src/store/redis/redis-store.js";
import { ServerClock } from "../../src/store/redis/server-clock.js";
import { redirection } from "../../src/store/redis/slots.js";
import { Wakes } from "../../src/store/redis/wake.js";
import { lossyProxy } from "../lossy-proxy.js";
import { redisBinary, redisConfig, startRedis } from "../redis-server.js";
import { asking, hour, leaseOn, newKey } from "./contract-material.js";

t.test("a subscription that fails wakes nobody: who is woken watches again, and would go on so for ever", async (t) => {
  // As ioredis does between the loss of its stream and the event that tells of it.
  const connection = Object.assign(new EventEmitter(), {
    status: "ready",
    connect: async () => {},
    disconnect: () => {},
    unsubscribe: async () => {},
    subscribe: async () => {
      subscriptions += 1;
      throw new Error("Stream isn't writeable and enableOfflineQueue options is false");
    },
  });
  let subscriptions = 0;
  const wakes = new Wakes(() => connection as unknown as Redis, t.fail);
  t.teardown(() => wakes.close());
  const watch = () => {
    if (subscriptions === 50) return;
    const stop = wakes.watch("channel", () => {
      stop();
      watch();
    });
  };
  watch();
  await new Promise(setImmediate);
  t.equal(subscriptions, 1);
});

t.test("the breaker opens after misses in a row, and closes with the first answer", async (t) => {
  const news: string[] = [];
  const probes: { answer: () => void; fail: () => void }[] = [];
  let asked = () => {};
  const breaker = new Breaker({
    probe: () =>
      new Promise<void>((resolve, reject) => {
        probes.push({ answer: resolve, fail: () => reject(new Error("silence")) });
        asked();
      }),
    missesToOpen: 2,
    probeEveryMs: 1,
    missesToSilence: 3,
    onOpen: () => news.push("open"),
    onClose: () => news.push("closed"),
    onSilence: () => news.push("silence"),
  });
  t.teardown(() => breaker.stop());
  breaker.missed();
  breaker.answered();
  breaker.missed();
  t.equal(breaker.isOpen, false, "not in a row");
  breaker.missed();
  breaker.missed();
  t.equal(breaker.isOpen, true);
  t.equal(probes.length, 1, "probed at once");
  for (let count = 2; count <= 5; count++) {
    const next = new Promise<void>((resolve) => {
      asked = resolve;
    });
    probes.at(-1)!.fail();
    await next;
    t.equal(probes.length, count);
  }
  t.same(news, ["open", "silence"]);
  probes.at(-1)!.answer();
  await new Promise(setImmediate);
  t.equal(breaker.isOpen, false);
  t.same(news, ["open", "silence", "closed"]);
});

t.test("a server that may not keep records is told from one that may", async (t) => {
  const good: RedisFacts = {
    product: "redis",
    version: "7.0.15",
    role: "master",
    connectedReplicas: 0,
    isClusterNode: false,
    maxMemoryBytes: 0,
    evictionPolicy: "noeviction",
    mayEvict: false,
    hasAppendOnlyFile: true,
  };
  const cases: [Partial<RedisFacts>, boolean, RegExp | undefined][] = [
    [{}, true, undefined],
    [{ version: "10.1.0" }, true, undefined],
    [{ version: "6.2.14" }, true, /6\.2\.14; 7\.0 or later/],
    [{ version: "unknown" }, true, /unknown; 7\.0 or later/],
    [{ role: "slave" }, true, /replica/],
    [{ isClusterNode: true }, true, /cluster/],
    [{ mayEvict: true, evictionPolicy: "allkeys-lru" }, true, /allkeys-lru/],
    [{ mayEvict: true, evictionPolicy: "allkeys-lru" }, false, undefined],
  ];
  for (const [changes, requireNoEviction, wanted] of cases) {
    const found = objection({ ...good, ...changes }, { requireNoEviction, isClusterNode: false });
    if (wanted === undefined) t.equal(found, undefined, JSON.stringify(changes));
    else t.match(found, wanted);
  }
  const ofCluster = { requireNoEviction: true, isClusterNode: true };
  t.match(objection(good, ofCluster), /not a node of a cluster/);
  t.equal(objection({ ...good, isClusterNode: true }, ofCluster), undefined);
});

t.test("a redirection says where to, also of a node that leaves out its own host", async (t) => {
  const to = (message: string) => redirection(message, "10.0.0.1:7000");
  t.same(to("MOVED 3999 127.0.0.1:6381"), { isMoved: true, address: "127.0.0.1:6381" });
  t.same(to("ASK 3999 ::1:6381"), { isMoved: false, address: "[::1]:6381" });
  t.same(to("MOVED 3999 :6381"), { isMoved: true, address: "10.0.0.1:6381" });
  t.same(to("MOVED 3999 ?:6381"), { isMoved: true, address: "10.0.0.1:6381" });
  t.equal(to("CLUSTERDOWN Hash slot not served"), undefined);
});

t.test("a key's name keeps record and index together, and is escaped as a pattern", async (t) => {
  const key = newKey();
  const names = new KeyNames("my*app[1]:");
  t.equal(names.record(key), `my*app[1]:{${key.slice(0, 2)}}:${key}`);
  t.equal(names.open(key.slice(0, 2)), `my*app[1]:{${key.slice(0, 2)}}:open`);
  t.equal(names.pattern("abc"), "my\\*app\\[1\\]:{ab}:abc*");
  t.equal(names.pattern("a"), "my\\*app\\[1\\]:{*}:a*");
  t.equal(names.idOf(names.record(key)), key);
  t.throws(() => new KeyNames("{app}:"), /must not contain/);
});

t.test("the address decides the options", async (t) => {
  const options = redisOptions(redisConfig("rediss://me:a%2Fb@[::1]:7000/4"));
  t.match(options, { host: "::1", port: 7000, db: 4, username: "me", password: "a/b", tls: {} });
  t.match(redisOptions(redisConfig("redis://redis.local")), { host: "redis.local", port: 6379, db: 0 });
  t.notOk("tls" in redisOptions(redisConfig("redis://redis.local")));
  const sentinel = { master: "main", nodes: ["s1:26379", "[::1]:26380"], user: "", password: "pw" };
  const found = redisOptions(redisConfig("rediss://me:a%2Fb@ignored/4", { sentinel }));
  t.match(found, { name: "main", username: "me", password: "a/b", db: 4, sentinelPassword: "pw", sentinelTLS: {} });
  t.match(found, { enableTLSForSentinelMode: true, failoverDetector: false });
  t.same(found.sentinels, [
    { host: "s1", port: 26379 },
    { host: "::1", port: 26380 },
  ]);
  t.notOk("sentinelUsername" in found);
  t.equal(nodeConfig(redisConfig("rediss://me:a%2Fb@ignored:1/0"), "[::1]:7").url, "rediss://me:a%2Fb@[::1]:7/0");
  t.throws(() => redisOptions(redisConfig("redis://redis.local/first")), /"first" is not the number of a database/);
});

t.test("against a server", async (t) => {
  const binary = await redisBinary(t);
  if (binary === undefined) return;
  const server = await startRedis(binary);
  t.teardown(() => server.stop());
  const config = redisConfig(server.url, { commandTimeoutMs: 5_000 });

  /** A store whose idea of time `jumpMs` shifts. */
  const withClock = async (jumpMs: () => number) => {
    const { client, close } = await connectRedis(config, { onTrouble: t.fail, onRecovery: () => {} }, 5_000);
    t.teardown(close);
    const breaker = { isOpen: false, answered() {}, missed() {} } as Breaker;
    const wakes = new Wakes(() => new Redis(), t.fail);
    const clock = new ServerClock(() => performance.now() + jumpMs());
    const names = new KeyNames("ig:");
    const node = new RedisNode({ client, clock, breaker, confirmations: undefined, close });
    const primaries: Primaries = {
      ask: (operation, _tag, send) => node.ask(operation, send),
      shares: () => [{ node, tags }],
      openSubscriber: () => new Redis(),
      close,
    };
    return new RedisStore({ primaries, names, wakes, commandTimeoutMs: 5_000 });
  };

  await t.test("a claim whose caller is wrong about the time is asked once more", async (t) => {
    let jumpMs = 0;
    const store = await withClock(() => jumpMs);
    for (const jump of [0, hour, -hour, 6_000, -6_000]) {
      jumpMs += jump;
      t.equal((await store.claim(asking(leaseOn(newKey())))).kind, "won", `the clock went ${jump} ms`);
    }
  });

  await t.test("a claim whose caller cannot learn the time is refused, and was not carried out", async (t) => {
    let jumpMs = 0;
    const store = await withClock(() => (jumpMs += hour));
    const lease = leaseOn(newKey());
    const error = await store.claim(asking(lease)).catch((error: Error) => error);
    t.ok(error instanceof StoreUnavailableError && !error.mayHaveRun);
    t.equal(await store.peek(lease.key, false), undefined);
  });

  await t.test("a subscription that has gone silent is made anew", async (t) => {
    const proxy = await lossyProxy(t, server.port);
    const { scripts: _, ...options } = redisOptions(redisConfig(proxy.url, { commandTimeoutMs: 300 }));
    const wakes = new Wakes(() => new Redis(options), t.fail, 20);
    t.teardown(() => wakes.close());
    let wake = () => {};
    const woken = () => new Promise<void>((resolve) => (wake = resolve));
    let next = woken();
    wakes.watch("channel", () => wake());
    await next;
    proxy.hold();
    next = woken();
    await server.admin.publish("channel", "unheard");
    await next; // Nobody closed the connection: the heartbeat found out.
    next = woken();
    await server.admin.publish("channel", "heard");
    await next;
    t.pass("heard again");
  });
});
