import type { Upstream } from "../model.js";
import type { Dispatch, Dispatching } from "./exchange.js";
import { UpstreamPool } from "./plain/upstream-pool.js";
import { Seats } from "./seats.js";
import { UndiciPool } from "./undici-pool.js";
import { type Connect, connectorFor, hostOfUpstream } from "./upstream-connect.js";

/** How long a connection is kept that belongs to one client, where others are not kept at all, ms. */
const boundKeepAliveMs = 60_000;

/**
 * The connections to one upstream: those undici makes, and those of requests that are sent plainly. Protected requests
 * have a limit of their own (decision 0112): whatever the others hold, a payment finds a connection.
 */
interface Pair {
  readonly connect: Connect;
  readonly undici: UndiciPool;
  readonly forOpen: Dispatching;
  readonly forProtected: Dispatching;
  /** `undefined` without `server.fastPath`, and where there is TLS: what it costs is not ours to save. */
  readonly plain: UpstreamPool | undefined;
}

/** Connection pools, one pair for each distinct set of upstream settings; reloads keep those that are still wanted. */
export class Pools {
  readonly #pairs = new Map<string, Pair>();
  readonly #byUpstream = new WeakMap<Upstream, Pair>();
  #isDestroyed = false;

  constructor(private readonly fastPath: boolean) {}

  forOpen(upstream: Upstream): Dispatching {
    return this.#pair(upstream).forOpen;
  }

  forProtected(upstream: Upstream): Dispatching {
    return this.#pair(upstream).forProtected;
  }

  /** Not for a client that has a connection of its own, nor for one that is about to get one: those are undici's. */
  plain(upstream: Upstream, { owner, isBound }: Pick<Dispatch, "owner" | "isBound">): UpstreamPool | undefined {
    const { plain, undici } = this.#pair(upstream);
    return isBound === true || undici.hasBound(owner) ? undefined : plain;
  }

  /** How a connection is opened that no pool keeps. */
  connector(upstream: Upstream): Connect {
    return this.#pair(upstream).connect;
  }

  #pair(upstream: Upstream): Pair {
    let pair = this.#byUpstream.get(upstream);
    if (pair === undefined) {
      const name = nameOf(upstream);
      pair = this.#pairs.get(name) ?? openPair(upstream, this.fastPath);
      this.#pairs.set(name, pair);
      this.#byUpstream.set(upstream, pair);
      if (this.#isDestroyed) this.destroy();
    }
    return pair;
  }

  /** Closes the pools that none of these wants: they keep nothing, and end with their last call. */
  keepOnly(upstreams: readonly Upstream[]): void {
    const wanted = new Set(upstreams.map(nameOf));
    for (const [name, { undici, plain }] of this.#pairs) {
      if (wanted.has(name)) continue;
      this.#pairs.delete(name);
      undici.close();
      plain?.close();
    }
  }

  /** Cuts what still runs, and nothing is sent from here on. */
  destroy(): void {
    this.#isDestroyed = true;
    for (const { undici, plain } of this.#pairs.values()) {
      undici.destroy();
      plain?.destroy();
    }
    this.#pairs.clear();
  }
}

function nameOf({ origin, connections, connectTimeoutMs, keepAliveMs, tls }: Upstream): string {
  return JSON.stringify([origin, connections, connectTimeoutMs, keepAliveMs, tls]);
}

function openPair(upstream: Upstream, fastPath: boolean): Pair {
  const { origin, connections, keepAliveMs } = upstream;
  const connect = connectorFor(upstream);
  const options = {
    origin,
    connect,
    keepAliveMs: keepAliveMs === 0 ? boundKeepAliveMs : keepAliveMs,
    keepsNothing: keepAliveMs === 0,
    serverName: hostOfUpstream(origin),
  };
  const undici = new UndiciPool(options);
  const limit = new Seats(connections);
  return {
    connect,
    undici,
    forOpen: undici.within(new Seats(connections)),
    forProtected: undici.within(limit),
    plain: fastPath ? openPlain(upstream, limit) : undefined,
  };
}

function openPlain(upstream: Upstream, limit: Seats): UpstreamPool | undefined {
  const { protocol, port } = new URL(upstream.origin);
  if (protocol !== "http:") return undefined;
  const { connectTimeoutMs, keepAliveMs } = upstream;
  const address = { host: hostOfUpstream(upstream.origin), port: Number(port || 80) };
  return new UpstreamPool({ address, connectTimeoutMs, keepAliveMs }, limit);
}
