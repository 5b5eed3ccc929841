import type { Socket } from "node:net";
import { peerOf } from "../forward.js";
import { admit, type Guarded, identify } from "../gate.js";
import type { InForce, LaneParts } from "../in-force.js";
import type { Errand, ProtectedLane } from "../protected-lane.js";
import { sendAnswer } from "../reply.js";
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
    private readonly lane: ProtectedLane,
    private readonly inForce: () => InForce,
    readonly leave: (socket: Socket, octets: Buffer) => void,
  ) {}

  /** What is refused, streamed or too large is left to the full parser, which comes to the same. */
  admit(client: PlainClient<Admitted>, request: PlainRequest): Admitted | undefined {
    const { method, target, rawHeaders, bodyBytes } = request;
    const inForce = this.inForce();
    if (bodyBytes > inForce.config.server.limits.requestBodyBytes) return undefined;
    const guarded = admit(inForce.router, { method, url: target, httpVersion: "1.1", rawHeaders });
    if (guarded.kind !== "guarded") return undefined;
    const asked = { method, target, rawHeaders, clientAddress: client.socket.remoteAddress };
    const visit = new Visit(asked, this.parts.hub);
    visit.route = guarded.route;
    client.listen(visit);
    return { inForce, guarded, visit };
  }

  begin(client: PlainClient<Admitted>, { inForce, guarded, visit }: Admitted, body: Buffer): boolean {
    const identified = identify(guarded, body);
    if (identified.kind !== "identified") return false;
    const { socket, free } = client;
    const { method, rawHeaders } = guarded.head;
    const peer = peerOf(socket, inForce.isTrusted);
    visit.trace = this.parts.tracer?.begin({ rawHeaders, httpVersion: "1.1", isSecure: peer.proto === "https" });
    const send: Errand["send"] = (answer, context, onFault) => {
      const reply = plainReply(answer, context, onFault);
      if (reply !== undefined) {
        client.answer(reply.head, reply.body);
        return reply.sent;
      }
      let sent: ReturnType<typeof sendAnswer> | undefined;
      client.answerByNode(method, (response) => {
        sent = sendAnswer(response, answer, context, onFault);
      });
      return sent!;
    };
    this.lane.run({ visit, inForce, guarded, identified, peer, body, free, send });
    return true;
  }

  take(bytes: number): boolean {
    return this.parts.budget.take(bytes);
  }

  give(bytes: number): void {
    this.parts.budget.give(bytes);
  }
}
