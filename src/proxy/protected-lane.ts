import type { ProblemNote } from "../model.js";
import { isDeclaredOver, type ReadWhole, readBody } from "./body.js";
import { decodeBody, maxInflation, tooLargeDecoded } from "./decode.js";
import { type Desk, Errand } from "./errand.js";
import { peerOf } from "./forward.js";
import { type Guarded, identify, knownRecord, needsDecoding, type Open, type Refused } from "./gate.js";
import type { InForce, LaneParts } from "./in-force.js";
import { sendAnswer } from "./reply.js";
import type { FullVisit } from "./visit.js";

/** Where a request goes that turns out, with its body at hand, not to be the engine's. */
export interface OtherWays {
  readonly open: (visit: FullVisit, inForce: InForce, open: Open, read: Buffer) => void;
  readonly refuse: (visit: FullVisit, inForce: InForce, refused: Refused, read?: Buffer) => void;
}

/** The protected lane: read whole, identified, then the engine's. */
export class ProtectedLane {
  constructor(
    private readonly parts: LaneParts,
    private readonly ways: OtherWays,
  ) {}

  take(visit: FullVisit, inForce: InForce, guarded: Guarded): void {
    const { request } = visit;
    const { requestBodyBytes } = inForce.config.server.limits;
    visit.route = guarded.route;
    visit.isReadWhole = true;
    if (!isDeclaredOver(request, requestBodyBytes)) visit.letContinue();
    readBody(request, requestBodyBytes, this.parts.budget, (read) => {
      if (read.kind === "aborted") return;
      if (read.kind !== "read") {
        if (read.soFar.length > 0) request.unshift(read.soFar);
        const problem = read.kind === "overloaded" ? overloaded : tooLarge(requestBodyBytes);
        this.#refuse(visit, inForce, guarded, problem);
      } else if (needsDecoding(guarded)) void this.#decode(visit, inForce, guarded, read);
      else this.#begin(visit, inForce, guarded, { ...read, content: read.body });
    });
  }

  /** Key, scope and fingerprint are read from what the body says; what is forwarded is the body as it came. */
  async #decode(visit: FullVisit, inForce: InForce, guarded: Guarded, read: ReadWhole): Promise<void> {
    const { body } = read;
    const limitBytes = maxInflation * inForce.config.server.limits.requestBodyBytes;
    const decoded = await decodeBody(guarded.head.rawHeaders, body, limitBytes);
    if (visit.response.destroyed) return read.free();
    const content = decoded.kind === "decoded" ? decoded.body : undefined;
    const bytes = content === undefined || content === body ? 0 : content.length;
    const isHeld = decoded.kind !== "tooLarge" && this.parts.budget.take(bytes);
    if (!isHeld) {
      read.free();
      const problem = decoded.kind === "tooLarge" ? tooLargeDecoded(limitBytes) : overloaded;
      return this.#refuse(visit, inForce, guarded, problem, body);
    }
    let isFree = false;
    const free = () => {
      read.free();
      if (!isFree) this.parts.budget.give(bytes);
      isFree = true;
    };
    this.#begin(visit, inForce, guarded, { body, free, content });
  }

  #begin(
    visit: FullVisit,
    inForce: InForce,
    guarded: Guarded,
    { body, content, free }: Pick<ReadWhole, "body" | "free"> & { readonly content: Buffer | undefined },
  ): void {
    const identified = identify(guarded, body, content);
    if (identified.kind === "identified") {
      const { request, response } = visit;
      const peer = peerOf(request.socket, inForce);
      const desk: Desk = { socket: request.socket, send: (...answer) => sendAnswer(response, ...answer), free };
      new Errand({ visit, inForce, guarded, identified, peer, body, desk }, this.parts).begin();
      return;
    }
    free();
    if (identified.kind === "open") this.ways.open(visit, inForce, identified, body);
    else this.ways.refuse(visit, inForce, identified, body);
  }

  #refuse(visit: FullVisit, inForce: InForce, guarded: Guarded, problem: ProblemNote, body?: Buffer): void {
    const { route, head, known } = guarded;
    const refused = { route, head, problem, rawKey: known?.key.raw, recordKey: knownRecord(guarded) };
    this.ways.refuse(visit, inForce, { kind: "refused", ...refused }, body);
  }
}

const overloaded: ProblemNote = {
  code: "overloaded",
  detail: "The gateway holds as many request bodies as it may. Nothing was sent; send the same request again later.",
  retryAfterSeconds: 1,
};

function tooLarge(limitBytes: number): ProblemNote {
  return { code: "body-too-large", detail: `The body of a protected request is limited to ${limitBytes} bytes.` };
}
