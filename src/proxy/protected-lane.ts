import type { Answer } from "../engine/answer.js";
import type { ProblemNote } from "../model.js";
import { isDeclaredOver, readBody } from "./body.js";
import { type Peer, peerOf } from "./forward.js";
import { type Guarded, type Identified, identify, type Open, type Refused } from "./gate.js";
import type { InForce, LaneParts } from "./in-force.js";
import { type ReplyContext, type Sent, sendAnswer } from "./reply.js";
import { traceAnswer } from "./traced.js";
import type { FullVisit, Visit } from "./visit.js";
import { workFor } from "./work.js";

/** Where a request goes that turns out, with its body at hand, not to be the engine's. */
export interface OtherWays {
  readonly open: (visit: FullVisit, inForce: InForce, open: Open, read: Buffer) => void;
  readonly refuse: (visit: FullVisit, inForce: InForce, refused: Refused, read?: Buffer) => void;
}

/** A request that is the engine's, and how its client is answered. */
export interface Errand {
  readonly visit: Visit;
  readonly inForce: InForce;
  readonly guarded: Guarded;
  readonly identified: Identified;
  readonly peer: Peer;
  readonly body: Buffer;
  /** The body is not needed any more; perhaps told twice. */
  readonly free: () => void;
  readonly send: (answer: Answer, context: ReplyContext, onFault: (error: Error) => void) => Sent;
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
        const peer = peerOf(request.socket, inForce.isTrusted);
        const send: Errand["send"] = (...answer) => sendAnswer(response, ...answer);
        this.run({ visit, inForce, guarded, identified, peer, body, free, send });
        return;
      }
      free();
      if (identified.kind === "open") this.ways.open(visit, inForce, identified, body);
      else this.ways.refuse(visit, inForce, identified, body);
    });
  }

  /** The engine's part: one answer, now or later, or none for a client that leaves before. */
  run({ visit, inForce, guarded, identified, peer, body, free, send }: Errand): void {
    const { route, policy, head } = guarded;
    const { attempt, rawKey, probe } = identified;
    const { hub, pools, engine } = this.parts;
    const key = attempt.key.slice(0, 8);
    visit.route = route;
    visit.key = key;
    const context = {
      method: head.method,
      route: route.name,
      idempotencyKey: rawKey,
      replayHeader: policy.replayHeader,
      problems: inForce.config.problems,
    };
    const onFault = (error: Error) =>
      hub.emit("fault", { what: "an answer cannot be written", route: route.name, key, error });
    const { trace } = visit;
    const begunMs = performance.now();
    let awayMs = 0;
    const away = (durationMs: number) => {
      awayMs += durationMs;
    };
    const leave = engine.begin({
      attempt: trace === undefined ? attempt : { ...attempt, trace },
      work: workFor({ route, policy, head, peer, body, probe, trace, away }, pools, hub),
      waited:
        trace === undefined
          ? away
          : (durationMs) => {
              away(durationMs);
              trace.waited(durationMs);
            },
      reply: (answer) => {
        free();
        visit.overheadMs = Math.max(0, performance.now() - begunMs - awayMs);
        if (trace !== undefined) traceAnswer(trace, answer);
        visit.done(send(answer, context, onFault));
      },
    });
    visit.onHangUp = () => {
      if (!leave()) return undefined;
      free();
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
