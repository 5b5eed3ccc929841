import type { Socket } from "node:net";
import { createSecureContext } from "node:tls";
import { buildConnector } from "undici";
import type { Upstream } from "../model.js";

/** Opens a connection, TLS included; `done` is called once. */
export type Connect = (done: (error: Error | null, socket: Socket | null) => void) => void;

/**
 * How connections to an upstream are opened. The name that TLS asks for and verifies is the URL's host, or
 * `tls.serverName`: never a request's `Host`, so connections are shared whatever name a client used. Of an IP address
 * none is asked for, and the certificate must name the address.
 */
export function connectorFor(upstream: Upstream): Connect {
  const { protocol, host, port } = new URL(upstream.origin);
  const timeout = upstream.connectTimeoutMs;
  const connect = buildConnector(protocol === "https:" ? { timeout, ...tlsOptions(upstream) } : { timeout });
  const address = { protocol, host, hostname: hostOfUpstream(upstream.origin), port };
  // With an error undici gives no second argument.
  return (done) => connect(address, (...[error, socket]) => done(error, socket ?? null));
}

/** A host name, or an address without brackets. */
export function hostOfUpstream(origin: string): string {
  return new URL(origin).hostname.replace(/^\[|\]$/g, "");
}

function tlsOptions({ tls }: Upstream) {
  if (tls === null) return { secureContext: createSecureContext() };
  const { serverName, ca, cert, key } = tls;
  const secureContext = createSecureContext({
    ...(ca === null ? {} : { ca }),
    ...(cert === null || key === null ? {} : { cert, key }),
  });
  return { secureContext, ...(serverName === null ? {} : { servername: serverName }) };
}

const firstConnectPauseMs = 50;
const longestConnectPauseMs = 1_000;

/** How long to wait before trying to connect again, after so many attempts; from half of it to the whole. */
export function connectPauseMs(attempts: number): number {
  return (
    Math.min(firstConnectPauseMs * 2 ** Math.min(attempts - 1, 10), longestConnectPauseMs) * (0.5 + Math.random() / 2)
  );
}
