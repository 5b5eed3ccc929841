import type { ProblemNote } from "../model.js";
import { isDeclaredOver, type ReadWhole, readBody } from "./body.js";
import { peerOf } from "./forward.js";
import { type Guarded, type Identified, identify, type Open, type Refused } from "./gate.js";
import type { InForce, LaneParts } from "./in-force.js";
import { sendAnswer } from "./reply.js";
import { traceAnswer } from "./traced.js";
import type { Visit } from "./visit.js";
import { workFor } from "./work.js";

/** Where a request goes that turns out, with its body at hand, not to be the engine's. */
export interface OtherWays {
  readonly open: (visit: Visit, inForce: InForce, open: Open, read: Buffer) => void;
  readonly refuse: (visit: Visit, inForce: InForce, refused: Refused, read?: Buffer) => void;
}

/** The protected lane: read whole, identified, then the engine's. */
export class ProtectedLane {
  constructor(
    private readonly parts: LaneParts,
    private readonly ways: OtherWays,
  ) {}

  take(visit: Visit, inForce: InForce, guarded: Guarded): void {
    const { route, head, known } = guarded;
    const { requestBodyBytes } = inForce.config.server.limits;
    visit.route = route;
    if (!isDeclaredOver(visit.request, requestBodyBytes)) visit.letContinue();
    readBody(visit.request, requestBodyBytes, this.parts.budget, (read) => {
      if (read.kind === "aborted") return;
      if (read.kind !== "read") {
        if (read.soFar.length > 0) visit.request.unshift(read.soFar);
        const problem = read.kind === "overloaded" ? overloaded : tooLarge(requestBodyBytes);
        this.ways.refuse(visit, inForce, { kind: "refused", route, head, problem, rawKey: known?.key.raw });
        return;
      }
      const identified = identify(guarded, read.body);
      if (identified.kind === "identified") {
        this.#run(visit, inForce, guarded, identified, read);
        return;
      }
      read.free();
      if (identified.kind === "open") this.ways.open(visit, inForce, identified, read.body);
      else this.ways.refuse(visit, inForce, identified, read.body);
    });
  }

  #run(visit: Visit, inForce: InForce, guarded: Guarded, identified: Identified, read: ReadWhole): void {
    const { route, policy, head } = guarded;
    const { attempt, rawKey, probe } = identified;
    const { hub, pools, engine } = this.parts;
    visit.key = attempt.key.slice(0, 8);
    const context = {
      method: visit.method,
      route: route.name,
      idempotencyKey: rawKey,
      replayHeader: policy.replayHeader,
      problems: inForce.config.problems,
    };
    const peer = peerOf(visit.request, inForce.isTrusted);
    const onFault = (error: Error) =>
      hub.emit("fault", {
        what: "an answer cannot be written",
        route: route.name,
        key: attempt.key.slice(0, 8),
        error,
      });
    const { trace } = visit;
    const begunMs = performance.now();
    let awayMs = 0;
    const away = (durationMs: number) => {
      awayMs += durationMs;
    };
    const leave = engine.begin({
      attempt: trace === undefined ? attempt : { ...attempt, trace },
      work: workFor({ route, policy, head, peer, body: read.body, probe, trace, away }, pools, hub),
      waited:
        trace === undefined
          ? away
          : (durationMs) => {
              away(durationMs);
              trace.waited(durationMs);
            },
      reply: (answer) => {
        read.free();
        visit.overheadMs = Math.max(0, performance.now() - begunMs - awayMs);
        if (trace !== undefined) traceAnswer(trace, answer);
        visit.done(sendAnswer(visit.response, answer, context, onFault));
      },
    });
    visit.onHangUp = () => {
      if (!leave()) return undefined;
      read.free();
      return "in_progress";
    };
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
