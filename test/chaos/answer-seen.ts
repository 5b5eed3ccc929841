import { headerOf, type Reply } from "../e2e/client.js";
import type { AnswerSeen } from "./history.js";

export function seen(reply: Reply): AnswerSeen {
  return {
    kind: "answer",
    status: reply.status,
    code: reply.code,
    isReplayed: reply.isReplayed,
    hasAge: headerOf(reply, "age") !== undefined,
    dispatch: Number(headerOf(reply, "x-dispatch") ?? 0) || null,
    body: reply.text,
  };
}
