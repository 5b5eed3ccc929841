import type { ProblemNote } from "../model.js";
import { isDeclaredOver, readBody } from "./body.js";
import { type Desk, Errand } from "./errand.js";
import { peerOf } from "./forward.js";
import { type Guarded, identify, type Open, type Refused } from "./gate.js";
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
    const { route, head, known } = guarded;
    const { request, response } = visit;
    const { requestBodyBytes } = inForce.config.server.limits;
    visit.route = route;
    visit.isReadWhole = true;
    if (!isDeclaredOver(request, requestBodyBytes)) visit.letContinue();
    readBody(request, requestBodyBytes, this.parts.budget, (read) => {
      if (read.kind === "aborted") return;
      if (read.kind !== "read") {
        if (read.soFar.length > 0) request.unshift(read.soFar);
        const problem = read.kind === "overloaded" ? overloaded : tooLarge(requestBodyBytes);
        this.ways.refuse(visit, inForce, { kind: "refused", route, head, problem, rawKey: known?.key.raw });
        return;
      }
      const { body, free } = read;
      const identified = identify(guarded, body);
      if (identified.kind === "identified") {
        const peer = peerOf(request.socket, inForce);
        const desk: Desk = { send: (...answer) => sendAnswer(response, ...answer), free };
        new Errand({ visit, inForce, guarded, identified, peer, body, desk }, this.parts).begin();
        return;
      }
      free();
      if (identified.kind === "open") this.ways.open(visit, inForce, identified, body);
      else this.ways.refuse(visit, inForce, identified, body);
    });
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
