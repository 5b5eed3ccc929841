import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { extname } from "node:path";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";

const folder = new URL("./console/", import.meta.url);

const types: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".svg": "image/svg+xml",
};

/** What the page may do: run and load what this port serves, and nothing else. Markup made out of text is refused. */
const security = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "img-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join("; ");

/** Of everything this port gives a browser: no other site may embed it, nor learn where its reader came from. */
const headers = {
  "Content-Security-Policy": security,
  "Cross-Origin-Opener-Policy": "same-origin",
  "Referrer-Policy": "no-referrer",
};

/**
 * The operator's page: the same for everybody, without a secret or a record in it. It asks for the token itself, as a
 * browser cannot send one along when somebody follows a link (decision 0080).
 */
export function addConsole(app: FastifyInstance): void {
  const files = readdirSync(folder).map((name) => ({ name, bytes: readFileSync(new URL(name, folder)) }));
  for (const { name, bytes } of files) {
    const type = types[extname(name)];
    if (type === undefined || name === "index.html") continue;
    const etag = `"${createHash("sha256").update(bytes).digest("base64url").slice(0, 22)}"`;
    app.get(`/console/${name}`, async (request, reply) => {
      // Kept by the browser, and asked for again each time: a new version of the gateway is seen at once.
      reply.headers({ ...headers, "Cache-Control": "no-cache", ETag: etag });
      if (request.headers["if-none-match"] === etag) return reply.code(304).send();
      return reply.type(type).send(bytes);
    });
  }
  const page = files.find(({ name }) => name === "index.html")!.bytes;
  app.get("/", async (request, reply) => {
    reply.headers({ ...headers, Vary: "Accept" });
    if (wantsText(request)) return reply.type("text/plain; charset=utf-8").send(pathList);
    return sendPage(reply, page);
  });
}

/** Whether this is a request for the page by something that shows pages, and says so: `*\/*` says nothing. */
export function asksForPage({ routeOptions, headers }: FastifyRequest): boolean {
  return routeOptions.url === "/" && /\btext\/html\b/i.test(headers.accept ?? "");
}

export function isConsoleFile({ routeOptions }: FastifyRequest): boolean {
  return routeOptions.url?.startsWith("/console/") ?? false;
}

function sendPage(reply: FastifyReply, page: Buffer): FastifyReply {
  return reply.type(types[".html"]!).send(page);
}

function wantsText({ headers }: FastifyRequest): boolean {
  const { accept = "" } = headers;
  return /\btext\/plain\b/i.test(accept) && !/\btext\/html\b/i.test(accept);
}

const pathList = `idempotency-gateway, admin port

GET    /                           the operator's console, in a browser
GET    /healthz                    200 while the process lives
GET    /readyz                     whether requests should be sent here
GET    /metrics                    Prometheus
GET    /v1/live                    how many requests of each route ended how, are in flight, are waiting
GET    /v1/routes                  the routes and policies in force
GET    /v1/records                 ?route= &state= &key= &id= &limit= &cursor=
GET    /v1/records/{id}            ?body=true
GET    /v1/records/{id}/timeline   what is known and what was seen of it
DELETE /v1/records/{id}            {"reason": "…"}
POST   /v1/records/{id}/resolve    {"outcome": "done", "response": {…}, "reason": "…"} or {"outcome": "not-done", "reason": "…"}
`;
