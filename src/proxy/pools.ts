import { buildConnector, Pool } from "undici";
import type { Upstream } from "../model.js";

/** Idle connections are dropped before most upstreams drop theirs, ms; a shorter `Keep-Alive: timeout` is honoured. */
const keepAliveMs = 4_000;
const longestKeepAliveMs = 30_000;
const maxHeaderBytes = 64 * 1024;

let tearing = false;

/**
 * Whether a connection is being torn down by a reset at this very moment. A response without a length ends with its
 * connection, and undici takes a reset for such an end: asked from `onComplete`, this tells a whole answer from a torn one.
 */
export function isTorn(): boolean {
  return tearing;
}

/** Connection pools, one for each distinct set of upstream settings; reloads keep those that are still wanted. */
export class Pools {
  readonly #pools = new Map<string, Pool>();
  readonly #byUpstream = new WeakMap<Upstream, Pool>();

  for(upstream: Upstream): Pool {
    let pool = this.#byUpstream.get(upstream);
    // A request that began before a reload may want a pool that no route of today wants.
    if (pool === undefined || pool.closed) {
      const name = nameOf(upstream);
      pool = this.#pools.get(name) ?? open(upstream);
      this.#pools.set(name, pool);
      this.#byUpstream.set(upstream, pool);
    }
    return pool;
  }

  /** Closes the pools that none of these wants, once their last call is over. */
  keepOnly(upstreams: readonly Upstream[]): void {
    const wanted = new Set(upstreams.map(nameOf));
    for (const [name, pool] of this.#pools) {
      if (wanted.has(name)) continue;
      this.#pools.delete(name);
      void pool.close();
    }
  }

  /** Cuts what still runs. */
  async destroy(): Promise<void> {
    const pools = [...this.#pools.values()];
    this.#pools.clear();
    await Promise.all(pools.map((pool) => pool.destroy()));
  }
}

function nameOf(upstream: Upstream): string {
  return `${upstream.origin} ${upstream.connections} ${upstream.connectTimeoutMs}`;
}

/**
 * Nothing is sent twice: undici re-sends what it pipelines, and what it believes to be idempotent, so it never pipelines
 * here, and `exchange` and `passthrough` declare every request as not idempotent. Certificates are verified.
 */
function open(upstream: Upstream): Pool {
  const connect = buildConnector({ timeout: upstream.connectTimeoutMs });
  return new Pool(upstream.origin, {
    connections: upstream.connections,
    pipelining: 1,
    allowH2: false,
    // Deadlines are kept by the caller, who knows which part of the call it is in.
    headersTimeout: 0,
    bodyTimeout: 0,
    keepAliveTimeout: keepAliveMs,
    keepAliveMaxTimeout: longestKeepAliveMs,
    maxHeaderSize: maxHeaderBytes,
    connect(options, callback) {
      connect(options, (...[error, socket]) => {
        if (error !== null) return callback(error, null);
        // Before undici's own listener, which may complete a response from within this very event.
        socket.on("error", () => {
          tearing = true;
          process.nextTick(() => {
            tearing = false;
          });
        });
        callback(null, socket);
      });
    },
  });
}
