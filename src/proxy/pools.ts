import { buildConnector, Pool } from "undici";
import type { Upstream } from "../model.js";
import { UpstreamPool } from "./plain/upstream-pool.js";
import { SeatedPool, Seats } from "./seats.js";
import { watchResets } from "./undici-resets.js";

/** Idle connections are dropped before most upstreams drop theirs, ms; a shorter `Keep-Alive: timeout` is honoured. */
const keepAliveMs = 4_000;
const longestKeepAliveMs = 30_000;
const maxHeaderBytes = 64 * 1024;

/** The connections to one upstream: those undici makes, and those of requests that are sent plainly. They share its seats. */
interface Pair {
  readonly full: Pool;
  readonly seated: SeatedPool;
  /** `undefined` without `server.fastPath`, and where there is TLS: what it costs is not ours to save. */
  readonly plain: UpstreamPool | undefined;
}

/** Connection pools, one pair for each distinct set of upstream settings; reloads keep those that are still wanted. */
export class Pools {
  readonly #pairs = new Map<string, Pair>();
  readonly #byUpstream = new WeakMap<Upstream, Pair>();
  #isDestroyed = false;

  constructor(private readonly fastPath: boolean) {}

  for(upstream: Upstream): SeatedPool {
    return this.#pair(upstream).seated;
  }

  plain(upstream: Upstream): UpstreamPool | undefined {
    return this.#pair(upstream).plain;
  }

  #pair(upstream: Upstream): Pair {
    let pair = this.#byUpstream.get(upstream);
    // A request that began before a reload may want a pool that no route of today wants.
    if (pair === undefined || (pair.full.closed && !this.#isDestroyed)) {
      const name = nameOf(upstream);
      pair = this.#pairs.get(name) ?? openPair(upstream, this.fastPath);
      this.#pairs.set(name, pair);
      this.#byUpstream.set(upstream, pair);
      if (this.#isDestroyed) void this.destroy();
    }
    return pair;
  }

  /** Closes the pools that none of these wants, once their last call is over. */
  keepOnly(upstreams: readonly Upstream[]): void {
    const wanted = new Set(upstreams.map(nameOf));
    for (const [name, { seated, plain }] of this.#pairs) {
      if (wanted.has(name)) continue;
      this.#pairs.delete(name);
      seated.close();
      plain?.close();
    }
  }

  /** Cuts what still runs, and nothing is sent from here on. */
  async destroy(): Promise<void> {
    this.#isDestroyed = true;
    const pairs = [...this.#pairs.values()];
    this.#pairs.clear();
    for (const { plain } of pairs) plain?.destroy();
    await Promise.all(pairs.map(({ full }) => full.destroy()));
  }
}

function nameOf(upstream: Upstream): string {
  return `${upstream.origin} ${upstream.connections} ${upstream.connectTimeoutMs}`;
}

/** What every client of undici is made with. */
export const clientOptions = {
  pipelining: 1,
  allowH2: false,
  // Deadlines are kept by the caller, who knows which part of the call it is in.
  headersTimeout: 0,
  bodyTimeout: 0,
  maxHeaderSize: maxHeaderBytes,
} as const;

/**
 * Nothing is sent twice: undici re-sends what it pipelines, and what it believes to be idempotent, so it never pipelines
 * here, and `exchange` and `passthrough` declare every request as not idempotent. Certificates are verified.
 */
function openFull(upstream: Upstream): Pool {
  const connect = buildConnector({ timeout: upstream.connectTimeoutMs });
  return new Pool(upstream.origin, {
    ...clientOptions,
    connections: upstream.connections,
    keepAliveTimeout: keepAliveMs,
    keepAliveMaxTimeout: longestKeepAliveMs,
    connect(options, callback) {
      connect(options, (...[error, socket]) => {
        if (error !== null) return callback(error, null);
        watchResets(socket);
        callback(null, socket);
      });
    },
  });
}

function openPair(upstream: Upstream, fastPath: boolean): Pair {
  const seats = new Seats(upstream.connections);
  const full = openFull(upstream);
  return { full, seated: new SeatedPool(full, seats), plain: fastPath ? openPlain(upstream, seats) : undefined };
}

function openPlain(upstream: Upstream, seats: Seats): UpstreamPool | undefined {
  const { protocol, hostname, port } = new URL(upstream.origin);
  if (protocol !== "http:") return undefined;
  const options = {
    address: { host: hostname.replace(/^\[|\]$/g, ""), port: Number(port || 80) },
    connectTimeoutMs: upstream.connectTimeoutMs,
    keptMs: keepAliveMs,
    longestKeptMs: longestKeepAliveMs,
  };
  return new UpstreamPool(options, seats);
}
