import { createHash } from "node:crypto";
import { Command, type Redis } from "ioredis";

type Argument = string | number | Buffer;

/**
 * A script as a function, sent by its hash, and whole to a server that has lost it: what ioredis makes of its `scripts`,
 * without the class, the arrays and the promises it makes for every call. For the two scripts of every request.
 * `encoding`: `null` leaves the reply's octets alone.
 */
export function leanScript<Reply>(
  client: Redis,
  { lua, numberOfKeys }: { readonly lua: string; readonly numberOfKeys: number },
  encoding: BufferEncoding | null,
): (...args: Argument[]) => Promise<Reply> {
  const hash = createHash("sha1").update(lua).digest("hex");
  const send = (name: "evalsha" | "eval", script: string, args: Argument[]) =>
    client.sendCommand(
      new Command(name, [script, numberOfKeys, ...args], { replyEncoding: encoding }),
    ) as Promise<Reply>;
  return (...args) =>
    send("evalsha", hash, args).catch((error: Error) => {
      if (!error.message.startsWith("NOSCRIPT")) throw error;
      return send("eval", lua, args);
    });
}
