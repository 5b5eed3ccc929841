import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { Route } from "../model.js";
import type { RequestHead } from "../rules/ambiguity.js";
import { withheldHeaders } from "../rules/key.js";
import { requestHeaders } from "../rules/request-headers.js";
import { maxForwards } from "../rules/via.js";
import { makeTraceparent } from "./traceparent.js";

/** Whether what a peer says about the client before it is believed. */
export type Trust = (address: string | undefined) => boolean;

/** Who sent it, noted while the connection is there to be asked. */
export interface Peer {
  readonly socket: Socket;
  readonly address: string;
  readonly proto: "http" | "https";
  readonly isTrusted: boolean;
  /** Under which name the gateway stands in `Via`. */
  readonly pseudonym: string;
}

export function peerOf(
  socket: Socket,
  { isTrusted, pseudonym }: { readonly isTrusted: Trust; readonly pseudonym: string },
  address = socket.remoteAddress ?? "",
): Peer {
  const proto = (socket as TLSSocket).encrypted === true ? "https" : "http";
  return { socket, address, proto, isTrusted: isTrusted(address), pseudonym };
}

/** The header of a request as its upstream gets it. `streamed`: the body has not been read, so its length stays. */
export function upstreamHeaders(head: RequestHead, route: Route, peer: Peer, body: "whole" | "streamed"): string[] {
  const { upstream, policy } = route;
  const hops = maxForwards(head.method, head.rawHeaders);
  return requestHeaders(head.rawHeaders, {
    clientAddress: peer.address,
    proto: peer.proto,
    hostHeader: head.hostHeader,
    isTrusted: peer.isTrusted,
    upstreamHost: upstream.preserveHost ? null : hostOf(upstream.origin),
    connection: head.connection,
    withheld: policy === null ? [] : withheldHeaders(policy.key),
    keepsContentLength: body === "streamed",
    makeTraceparent,
    via: `${head.httpVersion} ${peer.pseudonym}`,
    maxForwards: hops === undefined ? undefined : hops - 1,
  });
}

/** The authority of an origin. */
export function hostOf(origin: string): string {
  return origin.slice(origin.indexOf("://") + 3);
}
