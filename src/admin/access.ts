import { createHash, timingSafeEqual } from "node:crypto";
import { isIP } from "node:net";
import type { FastifyRequest } from "fastify";
import type { Config } from "../config/config.js";
import { oneLine } from "../rules/one-line.js";
import { asksForPage, isConsoleFile } from "./console-files.js";
import { Refusal } from "./refusal.js";

/** Asked by probes and by Prometheus, which hold no token; they change nothing and show no record. */
const openPaths: ReadonlySet<string> = new Set(["/healthz", "/readyz", "/metrics"]);
const safeMethods: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS"]);

/**
 * Everything but the open paths and the console's own page and files, unknown paths too, needs the token. Where none is
 * set the port listens on loopback only, and what is left to keep out is a web page in the operator's own browser
 * (decisions 0031 and 0080).
 */
export function requireAccess(request: FastifyRequest, { token }: Config["admin"]): void {
  if (openPaths.has(request.routeOptions.url ?? "")) return;
  if (token === null) refuseForeignHost(request);
  else if (!isOpenPage(request) && !isBearer(request.headers.authorization, token)) {
    const detail = 'Send the admin token: "Authorization: Bearer …".';
    throw new Refusal({ code: "unauthorized", detail }, { "WWW-Authenticate": "Bearer" });
  }
  if (!safeMethods.has(request.method)) refuseForeignPage(request);
}

/** There is nothing in them to guard; a browser that navigates cannot send a token. Anybody else asks with one. */
function isOpenPage(request: FastifyRequest): boolean {
  return isConsoleFile(request) || asksForPage(request);
}

/** Who is named in the audit line. The header is believed: whoever may write here could write anything else as well. */
export function whoAsks(request: FastifyRequest, { token }: Config["admin"]): string {
  const user = request.headers["x-forwarded-user"];
  if (typeof user === "string" && user !== "") return oneLine(user);
  return token === null ? "local" : "token";
}

/** Digests, so that neither the time nor a difference in length tells anything of the token. */
function isBearer(authorization: string | undefined, token: string): boolean {
  const given = /^bearer +(.*)$/i.exec(authorization ?? "")?.[1] ?? "";
  return timingSafeEqual(digest(given), digest(token));
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}

/**
 * DNS rebinding: a page whose own name was pointed at this machine speaks to us with that name in `Host`, and its
 * browser takes us for the page's origin. It can never speak with an address or with `localhost`.
 */
function refuseForeignHost(request: FastifyRequest): void {
  const { host } = request.headers;
  if (host === undefined || isLocalName(host)) return;
  const detail = "Without an admin token, ask for this port by an IP address or as localhost, or set admin.token.";
  throw new Refusal({ code: "forbidden", detail });
}

function isLocalName(host: string): boolean {
  const name = host.replace(/:\d*$/, "").toLowerCase();
  const address = name.startsWith("[") && name.endsWith("]") ? name.slice(1, -1) : name;
  return name === "localhost" || name.endsWith(".localhost") || isIP(address) !== 0;
}

/** Cross-site request forgery. Only browsers send these headers; where both are there, the first is the surer. */
function refuseForeignPage(request: FastifyRequest): void {
  const { origin, host } = request.headers;
  const site = request.headers["sec-fetch-site"];
  const isForeign =
    site !== undefined
      ? site !== "same-origin" && site !== "none"
      : origin !== undefined && (host === undefined || hostOf(origin) !== host.toLowerCase());
  if (!isForeign) return;
  throw new Refusal({ code: "forbidden", detail: "Records are not changed on behalf of another site's page." });
}

function hostOf(origin: string): string | undefined {
  return URL.canParse(origin) ? new URL(origin).host : undefined;
}
