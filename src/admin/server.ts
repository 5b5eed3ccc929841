import fastify, { type FastifyError, type FastifyInstance } from "fastify";
import { problems } from "../problem.js";
import { type Readiness, readinessOf } from "../rules/readiness.js";
import { StoreUnavailableError } from "../store/record-store.js";
import { requireAccess } from "./access.js";
import { addConsole } from "./console-files.js";
import { liveCounts } from "./live.js";
import { addRecords, type RecordParts } from "./records.js";
import { answerRefusal, Refusal } from "./refusal.js";
import { routesJson } from "./routes-json.js";

export interface AdminParts extends RecordParts {
  readonly metrics: { scrape(): Promise<string>; readonly contentType: string };
  readonly readiness: Readiness;
}

/** Room for a stored response in `resolve`, as base64. */
const maxRequestBytes = 16 * 1024 * 1024;

/** The operator's port. The caller listens and closes; nothing is logged here. */
export function createAdmin(parts: AdminParts): FastifyInstance {
  const app = fastify({
    bodyLimit: maxRequestBytes,
    requestTimeout: 30_000,
    return503OnClosing: false,
    frameworkErrors: (error, _, reply) => void answerRefusal(reply, refusalFor(error), parts.config().problems),
  });
  readJsonOnly(app);
  const methodsAt = collectMethods(app);

  app.addHook("onRequest", async (request, reply) => {
    reply.headers({
      "Cache-Control": "no-store",
      "X-Content-Type-Options": "nosniff",
      "Cross-Origin-Resource-Policy": "same-origin",
    });
    requireAccess(request, parts.config().admin);
  });
  app.setErrorHandler((error: FastifyError, _, reply) => {
    const refusal = refusalFor(error);
    if (refusal.note.code === "internal") parts.hub.emit("fault", { what: "the admin port failed", error });
    return answerRefusal(reply, refusal, parts.config().problems);
  });
  app.setNotFoundHandler((request) => {
    const methods = methodsAt(request.url.replace(/\?.*/s, ""));
    if (methods.length === 0) throw new Refusal({ code: "not-found", detail: "The admin port has no such path." });
    const detail = `Allowed here: ${methods.join(", ")}.`;
    throw new Refusal({ code: "method-not-allowed", detail }, { Allow: methods.join(", ") });
  });

  app.get("/healthz", async () => ({ status: "alive" }));
  app.get("/readyz", async (_, reply) => {
    const { status, ...body } = readinessOf(parts.readiness);
    return reply.code(status).send(body);
  });
  app.get("/metrics", async (_, reply) => reply.type(parts.metrics.contentType).send(await parts.metrics.scrape()));
  const live = liveCounts(parts.metrics);
  app.get("/v1/live", async () => live());
  app.get("/v1/routes", async () => ({ routes: routesJson(parts.config().routes) }));
  addRecords(app, parts);
  addConsole(app);
  return app;
}

/** Any other type is refused: a page of another site can send a form or text without asking, JSON it cannot. */
function readJsonOnly(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  const parse = app.getDefaultJsonParser("error", "error");
  app.addContentTypeParser("application/json", { parseAs: "string" }, (request, body, done) => {
    // Some clients name a type for every request they send, with or without a body.
    if (body === "") done(null, undefined);
    else parse(request, body as string, done);
  });
}

/** Which methods a path answers, for `Allow`: fastify's router knows, but does not say. */
function collectMethods(app: FastifyInstance): (path: string) => string[] {
  const known: { readonly pattern: RegExp; readonly method: string }[] = [];
  app.addHook("onRoute", ({ url, method }) => {
    const pattern = new RegExp(`^${url.replace(/:\w+/g, "[^/]+")}$`);
    for (const one of [method].flat()) known.push({ pattern, method: one });
  });
  return (path) => known.filter(({ pattern }) => pattern.test(path)).map(({ method }) => method);
}

function refusalFor(error: FastifyError): Refusal {
  if (error instanceof Refusal) return error;
  if (error instanceof StoreUnavailableError) {
    const detail = `The record store did not answer "${error.operation}".`;
    return new Refusal({ code: "store-unavailable", detail, retryAfterSeconds: 1 });
  }
  switch (error.statusCode) {
    case 413:
      return new Refusal({ code: "body-too-large", detail: `The body is limited to ${maxRequestBytes} bytes.` });
    case 415:
      return new Refusal({ code: "request-invalid", detail: 'Send the body as "Content-Type: application/json".' });
    case 400:
      return new Refusal({ code: "request-invalid", detail: error.message });
    default:
      return new Refusal({ code: "internal", detail: problems.internal.title });
  }
}
