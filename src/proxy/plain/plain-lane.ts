import type { Socket } from "node:net";
import type { Answer } from "../../engine/answer.js";
import { type Desk, Errand } from "../errand.js";
import { peerOf } from "../forward.js";
import { admit, type Guarded, identify, needsDecoding } from "../gate.js";
import type { InForce, LaneParts } from "../in-force.js";
import { type ReplyContext, type Sent, sendAnswer } from "../reply.js";
import { Visit } from "../visit.js";
import type { PlainClient, PlainDoor } from "./plain-client.js";
import { plainReply } from "./plain-reply.js";
import type { PlainRequest } from "./plain-request.js";

/** A request with what was in force when it came. */
export interface Admitted {
  readonly inForce: InForce;
  readonly guarded: Guarded;
  readonly visit: Visit;
}

/** The protected lane for requests of the plain form: the same gate, the same engine, the same answers. */
export class PlainLane implements PlainDoor<Admitted> {
  constructor(
    private readonly parts: LaneParts,
    private readonly inForce: () => InForce,
    readonly leave: (socket: Socket, octets: Buffer) => void,
  ) {}

  /** What is refused, streamed or too large is left to the full parser, which comes to the same. */
  admit(client: PlainClient<Admitted>, request: PlainRequest): Admitted | undefined {
    const { method, target, rawHeaders, bodyBytes } = request;
    const inForce = this.inForce();
    if (bodyBytes > inForce.config.server.limits.requestBodyBytes) return undefined;
    const guarded = admit(inForce, { method, url: target, httpVersion: "1.1", rawHeaders });
    // A coded body is unpacked off the event loop, which the other lane waits for.
    if (guarded.kind !== "guarded" || needsDecoding(guarded)) return undefined;
    const asked = { method, target, rawHeaders, clientAddress: client.address };
    const visit = new Visit(asked, this.parts.hub);
    visit.route = guarded.route;
    client.listen(visit);
    return { inForce, guarded, visit };
  }

  begin(client: PlainClient<Admitted>, { inForce, guarded, visit }: Admitted, body: Buffer): boolean {
    const identified = identify(guarded, body, body);
    if (identified.kind !== "identified") return false;
    const { rawHeaders } = guarded.head;
    const peer = peerOf(client.socket, inForce, client.address);
    visit.trace = this.parts.tracer?.begin({ rawHeaders, httpVersion: "1.1", isSecure: peer.proto === "https" });
    const desk = new PlainDesk(client);
    new Errand({ visit, inForce, guarded, identified, peer, body, desk }, this.parts).begin();
    return true;
  }

  take(bytes: number): boolean {
    return this.parts.budget.take(bytes);
  }

  give(bytes: number): void {
    this.parts.budget.give(bytes);
  }
}

class PlainDesk implements Desk {
  constructor(private readonly client: PlainClient<Admitted>) {}

  get socket(): Socket {
    return this.client.socket;
  }

  send(answer: Answer, context: ReplyContext, onFault: (error: Error) => void): Sent {
    const reply = plainReply(answer, context, onFault);
    if (reply !== undefined) {
      this.client.answer(reply.head, reply.body);
      return reply.sent;
    }
    return this.client.answerByNode(context.method, (response) => sendAnswer(response, answer, context, onFault));
  }

  free(): void {
    this.client.free();
  }
}
