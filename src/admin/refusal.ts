import { randomUUID } from "node:crypto";
import type { FastifyReply } from "fastify";
import type { ProblemNote } from "../model.js";
import { type ProblemTypes, problemDocument } from "../problem.js";

/** Thrown by whatever reads a request of the admin port; its answer is the problem document. */
export class Refusal extends Error {
  override readonly name = "Refusal";
  constructor(
    readonly note: ProblemNote,
    readonly headers: Readonly<Record<string, string>> = {},
  ) {
    super(note.detail);
  }
}

export function invalid(detail: string): Refusal {
  return new Refusal({ code: "request-invalid", detail });
}

export function answerRefusal(reply: FastifyReply, refusal: Refusal, types: ProblemTypes): FastifyReply {
  const context = { instance: `urn:uuid:${randomUUID()}`, route: null };
  const { status, headers, body } = problemDocument(refusal.note, context, types);
  for (let at = 0; at < headers.length; at += 2) {
    // The policy page is published on the traffic port: from here the link would lead nowhere.
    if (headers[at] !== "Link") reply.header(headers[at]!, headers[at + 1]!);
  }
  return reply.code(status).headers(refusal.headers).send(body);
}
