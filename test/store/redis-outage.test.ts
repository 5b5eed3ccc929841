import { mkdtemp, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t, { type Test } from "tap";
import { StoreUnavailableError } from "../../src/store/record-store.js";
import { openRedisStore } from "../../src/store/redis/open-redis-store.js";
import { lossyProxy } from "../lossy-proxy.js";
import { freePort, type RedisServer, redisBinary, redisConfig, startRedis } from "../redis-server.js";
import { answer, asking, hour, leaseMs, leaseOn, newKey, origin, refusal, retentionMs } from "./contract-material.js";

/** Long, so that a busy machine is not taken for a broken server, but where it is the timeout that is tested. */
const commandTimeoutMs = 10_000;
const shortly = { commandTimeoutMs: 600 };

/** A store whose news are kept, in order, and can be waited for. */
async function openOn(t: Test, url: string, changes: Parameters<typeof redisConfig>[1] = {}) {
  const news: string[] = [];
  let heard = () => {};
  const say = (text: string) => {
    news.push(text);
    heard();
  };
  const config = redisConfig(url, { commandTimeoutMs, ...changes });
  const store = await openRedisStore(config, { onTrouble: say, onRecovery: say });
  t.teardown(() => store.close());
  const until = async (pattern: RegExp) => {
    while (!news.some((text) => pattern.test(text))) await new Promise<void>((resolve) => (heard = resolve));
  };
  return { store, news, until };
}

/** What a verb was refused with. */
async function failure(promise: Promise<unknown>): Promise<StoreUnavailableError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof StoreUnavailableError) return error;
    throw error;
  }
  throw new Error("the store answered");
}

async function frozen(server: RedisServer): Promise<void> {
  await t.test("a claim that a frozen server did not answer is never carried out later", async (t) => {
    const { store, news } = await openOn(t, server.url, shortly);
    const lease = leaseOn(newKey());
    server.freeze();
    const error = await failure(store.claim(asking(lease)));
    t.equal(error.mayHaveRun, true);
    t.equal(error.operation, "claim");
    // The server's clock goes on while it sleeps. It is past the claim's time, not only at it.
    await new Promise((resolve) => setTimeout(resolve, 50));
    server.thaw();
    t.equal(await server.admin.ping(), "PONG");
    t.equal(await store.peek(lease.key, true), undefined, "it was refused as late");
    t.equal(await store.withdraw(lease), "withdrawn");
    t.same(await store.claim(asking(leaseOn(lease.key))), { kind: "won", attempts: 1, taken: null });
    t.same(news, []);
  });

  await t.test("a server that does not answer is given up on after three timeouts, until it does", async (t) => {
    const { store, news, until } = await openOn(t, server.url, shortly);
    const lease = leaseOn(newKey());
    await store.claim(asking(lease));
    server.freeze();
    for (let turn = 0; turn < 3; turn++) {
      t.equal((await failure(store.claim(asking(leaseOn(newKey()))))).mayHaveRun, true);
    }
    const verbs = [
      () => store.claim(asking(leaseOn(newKey()))),
      () => store.extend(lease, leaseMs, retentionMs),
      () => store.complete(lease, answer("x"), origin),
      () => store.withdraw(lease),
      () => store.release(lease),
      () => store.strand(lease, "reset", undefined, origin),
      () => store.peek(lease.key, true),
      () => store.list({ limit: 1 }),
      () => store.forget(lease.key),
      () => store.resolve(lease.key, { kind: "notDone" }),
      () => store.ping(),
    ];
    for (const verb of verbs) t.equal((await failure(verb())).mayHaveRun, false, "not even asked");
    server.thaw();
    await until(/answers again/);
    t.equal(await store.complete(lease, answer("x"), origin), "stored");
    t.match(news, [/^Redis at 127\.0\.0\.1:\d+ has stopped answering$/, /answers again$/]);
    t.equal(news.length, 2);
  });
}

async function replaced(t: Test, binary: string): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "ig-aof-"));
  const server = await startRedis(binary, ["--appendonly", "yes", "--appendfsync", "everysec", "--dir", folder]);
  t.teardown(() => server.stop());

  await t.test("what was acknowledged is there after the server was killed in the middle", async (t) => {
    const { store, news, until } = await openOn(t, server.url);
    const acknowledged: ReturnType<typeof leaseOn>[] = [];
    let isDown = false;
    const client = async () => {
      while (!isDown) {
        const lease = leaseOn(newKey());
        try {
          await store.claim(asking(lease));
          acknowledged.push(lease);
          if (acknowledged.length === 500) void server.kill();
        } catch (error) {
          if (!(error instanceof StoreUnavailableError)) throw error;
          isDown = true;
        }
      }
    };
    await Promise.all(Array.from({ length: 20 }, client));
    t.ok(acknowledged.length >= 500);
    t.equal((await failure(store.ping())).mayHaveRun, false);
    await server.start();
    await until(/answers again/);
    for (const lease of acknowledged) {
      const claim = await store.claim(asking(lease));
      if (claim.kind !== "won" || claim.attempts !== 1) t.fail(`an acknowledged claim is ${claim.kind}`);
      const other = await store.claim(asking(leaseOn(lease.key)));
      if (other.kind !== "held") t.fail(`for another it is ${other.kind}`);
    }
    t.equal(news.length, 2, "one trouble, one recovery");
  });

  await t.test("a server that became a replica is left, and used again when it is one no more", async (t) => {
    const { store, until } = await openOn(t, server.url);
    const lease = leaseOn(newKey());
    await store.claim(asking(lease));
    // A primary that is not there: the data stays as it is.
    await server.admin.replicaof("127.0.0.1", await freePort());
    const error = await failure(store.claim(asking(leaseOn(newKey()))));
    t.equal(error.mayHaveRun, false);
    t.match(String(error.cause), /READONLY/);
    await until(/is a replica/);
    await server.admin.replicaof("NO", "ONE");
    t.equal(await store.complete(lease, answer("x"), origin), "stored");
  });
}

async function answersLost(server: RedisServer): Promise<void> {
  for (const end of ["is late", "never comes"]) {
    await t.test(`a claim that was carried out, but whose answer ${end}, can be withdrawn`, async (t) => {
      const proxy = await lossyProxy(t, server.port);
      const { store, until } = await openOn(t, proxy.url, shortly);
      const key = newKey();
      const [first, lost] = [leaseOn(key), leaseOn(key)];
      await store.claim(asking(first));
      await store.strand(first, "timeout", undefined, origin);
      const fresh = leaseOn(newKey());
      proxy.hold();
      const unanswered = [store.claim(asking(lost, { mayTake: true })), store.claim(asking(fresh))];
      if (end === "never comes") {
        // Both were carried out before the connection is cut.
        while ((await server.admin.hget(`ig:{${fresh.key.slice(0, 2)}}:${fresh.key}`, "state")) !== "in_flight");
        proxy.cut();
      }
      for (const claim of unanswered) t.equal((await failure(claim)).mayHaveRun, true);
      if (end === "never comes") await until(/answers again/);
      else proxy.pass();
      t.equal((await store.peek(key, false))?.state, "in_flight");
      t.equal(await store.withdraw(lost), "withdrawn");
      t.equal(await store.withdraw(fresh), "withdrawn");
      t.match(await store.claim(asking(leaseOn(key))), { kind: "inDoubt", cause: "timeout", expired: false });
      t.equal((await store.claim(asking(leaseOn(fresh.key)))).kind, "won");
    });
  }
}

async function outOfMemory(server: RedisServer): Promise<void> {
  await t.test("without memory nothing new is claimed, and all that was begun can be ended", async (t) => {
    const { store, news } = await openOn(t, server.url);
    t.teardown(() => server.admin.config("SET", "maxmemory", "0"));
    const [done, kept, stranded, freed, withdrawn, doubted] = Array.from({ length: 6 }, () => leaseOn(newKey())) as [
      ReturnType<typeof leaseOn>,
      ...ReturnType<typeof leaseOn>[],
    ];
    for (const lease of [done, kept, stranded, freed, withdrawn, doubted]) await store.claim(asking(lease!));
    await store.strand(doubted!, "reset", undefined, origin);
    await server.admin.config("SET", "maxmemory", "1");

    const error = await failure(store.claim(asking(leaseOn(newKey()))));
    t.equal(error.mayHaveRun, false);
    t.match(String(error.cause), /OOM/);
    t.equal(await store.complete(done, answer("x".repeat(10_000)), origin), "stored");
    t.equal((await store.claim(asking(leaseOn(done.key)))).kind, "done", "replays go on");
    t.equal(await store.extend(kept!, leaseMs, retentionMs), "kept");
    t.equal(await store.strand(stranded!, "reset", refusal, origin), "stranded");
    t.equal(await store.release(freed!, { landing: refusal, landingMs: hour }), "released");
    t.equal(await store.withdraw(withdrawn!), "withdrawn");
    t.equal(await store.resolve(doubted!.key, { kind: "notDone" }), "resolved");
    t.equal(await store.forget(done.key), "forgotten");
    t.equal((await store.list({ limit: 10, state: "in_doubt" })).records.length > 0, true);
    await server.admin.config("SET", "maxmemory", "0");
    t.equal((await store.claim(asking(leaseOn(newKey())))).kind, "won");
    t.same(news, []);
  });
}

async function refusals(t: Test, binary: string, server: RedisServer): Promise<void> {
  const refused = async (url: string, changes = {}): Promise<string> => {
    const config = redisConfig(url, { commandTimeoutMs, ...changes });
    try {
      const store = await openRedisStore(config, { onTrouble: () => {}, startTimeoutMs: 1_000 });
      await store.close();
    } catch (error) {
      return (error as Error).message;
    }
    return "opened";
  };

  await t.test("a closed port is one plain sentence", async (t) => {
    const port = await freePort();
    const message = await refused(`redis://user:s3cret@127.0.0.1:${port}/0`);
    t.equal(message, `Redis at 127.0.0.1:${port} cannot be reached: connect ECONNREFUSED 127.0.0.1:${port}`);
  });

  await t.test("a wrong or missing password is one plain sentence, without the password", async (t) => {
    const locked = await startRedis(binary, ["--requirepass", "right one"]);
    t.teardown(() => locked.stop());
    const at = `127.0.0.1:${locked.port}`;
    t.match(
      await refused(`redis://:wr0ng@${at}`),
      new RegExp(`^Redis at ${at} refused the user name or password: WRONGPASS [^\n]*$`),
    );
    t.notMatch(await refused(`redis://:wr0ng@${at}`), /wr0ng/);
    t.match(
      await refused(`redis://${at}`),
      new RegExp(`^Redis at ${at} refused the user name or password: NOAUTH [^\n]*$`),
    );
    t.equal(await refused(`redis://:right%20one@${at}/3`), "opened");
  });

  await t.test("a server that may evict records is refused, also one that has no limit yet", async (t) => {
    const evicting = await startRedis(binary, ["--maxmemory", "50mb", "--maxmemory-policy", "volatile-lru"]);
    t.teardown(() => evicting.stop());
    t.match(await refused(evicting.url), /may evict records: its maxmemory-policy is volatile-lru/);
    t.equal(await refused(evicting.url, { requireNoEviction: false }), "opened");
    await evicting.admin.config("SET", "maxmemory", "0");
    t.match(await refused(evicting.url), /may evict records/);
    await evicting.admin.config("SET", "maxmemory", "50mb", "maxmemory-policy", "noeviction");
    t.equal(await refused(evicting.url), "opened");
    await evicting.admin.replicaof("127.0.0.1", await freePort());
    t.match(await refused(evicting.url), /is a replica; records are written to the primary/);
  });

  await t.test("a user without the rights it needs is told which", async (t) => {
    const { admin, port } = server;
    const user = async (name: string, ...rules: string[]) => {
      await admin.call("ACL", "SETUSER", name, "reset", "on", ">pw", "~ig:*", ...rules);
      return `redis://${name}:pw@127.0.0.1:${port}`;
    };
    const blind = await user("blind", "+@all", "-info", "&*");
    t.match(await refused(blind), /does not permit INFO.*\+info.*requireNoEviction: false/);
    t.equal(await refused(blind, { requireNoEviction: false }), "opened");
    const tied = await user("tied", "+@all", "-@scripting", "&*");
    t.match(await refused(tied), /refuses what the store needs: NOPERM/);
  });

  await t.test("a user with the rights that decision 0013 lists can do everything", async (t) => {
    const page = await readFile(new URL("../../docs/decisions/0013-what-redis-must-be.md", import.meta.url), "utf8");
    const rules = /ACL SETUSER gateway ([^`]+)`/.exec(page)?.[1]?.split(" ") ?? [];
    await server.admin.call("ACL", "SETUSER", "gateway", "reset", "on", ">pw", ...rules);
    const { store, news } = await openOn(t, `redis://gateway:pw@127.0.0.1:${server.port}`);
    const [lease, taker, second] = [leaseOn(newKey()), leaseOn(newKey()), leaseOn(newKey())];
    await store.claim(asking(lease));
    const woken = new Promise<void>((resolve) => t.teardown(store.watch(lease.key, resolve)));
    await store.extend(lease, leaseMs, retentionMs);
    await store.strand(lease, "reset", refusal, origin);
    await store.claim(asking({ ...taker, key: lease.key }, { mayTake: true }));
    await store.withdraw({ ...taker, key: lease.key });
    await store.resolve(lease.key, { kind: "notDone" });
    await store.claim(asking(second));
    await store.complete(second, answer("x"), origin);
    await store.peek(second.key, true);
    await store.forget(second.key);
    await store.claim(asking(taker));
    await store.release(taker, { landing: refusal, landingMs: hour });
    await store.list({ limit: 10 });
    await store.list({ limit: 10, state: "in_doubt" });
    await store.ping();
    await woken;
    t.same(news, []);
  });

  await t.test("a user that may not publish stores all the same, and is told why waiting is slow", async (t) => {
    await server.admin.call("ACL", "SETUSER", "mute", "reset", "on", ">pw", "~ig:*", "+@all", "resetchannels");
    const { store, until } = await openOn(t, `redis://mute:pw@127.0.0.1:${server.port}`);
    const lease = leaseOn(newKey());
    await store.claim(asking(lease));
    t.teardown(store.watch(lease.key, () => {}));
    await until(/refuses SUBSCRIBE: NOPERM/);
    t.equal(await store.complete(lease, answer("x"), origin), "stored");
  });
}

const binary = await redisBinary(t);
if (binary !== undefined) {
  const server = await startRedis(binary);
  t.teardown(() => server.stop());
  await frozen(server);
  await answersLost(server);
  await outOfMemory(server);
  await refusals(t, binary, server);
  await t.test("a server that comes back", (t) => replaced(t, binary));
}
