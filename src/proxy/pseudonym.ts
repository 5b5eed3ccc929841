import { createHash } from "node:crypto";
import { hostname } from "node:os";
import type { StoreConfig } from "../config/config.js";

/**
 * The name under which this gateway stands in `Via`: one for each store and key prefix. All gateways of one store have it,
 * so that a request which comes back to any of them is known for a loop; a gateway in front of another one has a store of
 * its own, and another name. Tells nothing about the store's address.
 */
export function pseudonymOf(store: StoreConfig): string {
  const place = store.type === "embedded" ? [hostname(), store.path] : [store.keyPrefix, ...storeAddress(store)];
  return `ig-${createHash("sha256").update(JSON.stringify(place)).digest("hex").slice(0, 12)}`;
}

function storeAddress({ url, sentinel, cluster }: Exclude<StoreConfig, { type: "embedded" }>): string[] {
  if (sentinel) return [sentinel.master, ...[...sentinel.nodes].sort()];
  if (cluster) return [...cluster.nodes].sort();
  const { hostname: host, port, pathname } = new URL(url);
  // Each host has a loopback of its own.
  const isLoopback = /^(?:localhost|127\.[0-9.]+|\[::1\])$/.test(host);
  return [isLoopback ? hostname() : host, port, pathname];
}
