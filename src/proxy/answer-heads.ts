/** What a head is looked for in at first; nearly all end within it. */
const usualHeadBytes = 2 * 1024;
/** A head that has not ended by then is undici's to refuse. */
const maxAnswerHeadBytes = 64 * 1024;
const headEnd = "\r\n\r\n";
const lengthFields = /\r\ncontent-length:[ \t]*([^\r\n]*)/gi;

/**
 * Stands before undici's parser, which refuses two things that a client is to read: a `Content-Length` that is given
 * several times with one value (RFC 9110 §8.6), and a 100 (Continue) that was not asked for (§15.2.1). The first becomes one
 * field, the second is dropped; everything else passes as it came. Bodies are not looked at.
 */
export class AnswerHeads {
  #isDue = false;
  #held: Buffer | undefined;

  /** A request is sent: what arrives next is the head of its answer. */
  expect(): void {
    this.#isDue = true;
    this.#held = undefined;
  }

  /** What undici may read of it; `null`: the head is not complete. */
  pass(part: Buffer): Buffer | null {
    if (!this.#isDue) return part;
    const all = this.#held === undefined ? part : Buffer.concat([this.#held, part]);
    this.#held = undefined;
    let text = all.toString("latin1", 0, usualHeadBytes);
    if (all.length > usualHeadBytes && !text.includes(headEnd)) text = all.toString("latin1", 0, maxAnswerHeadBytes);
    const read = readHeads(text);
    if (read.kind === "partial" && all.length < maxAnswerHeadBytes) {
      this.#held = all;
      return null;
    }
    this.#isDue = false;
    if (read.kind !== "changed") return all;
    return Buffer.concat([Buffer.from(read.heads, "latin1"), all.subarray(read.end)]);
  }
}

type HeadsRead =
  | { readonly kind: "asItIs" }
  | { readonly kind: "partial" }
  /** These heads take the place of everything before `end`. */
  | { readonly kind: "changed"; readonly heads: string; readonly end: number };

/** All heads up to that of the final answer. */
function readHeads(text: string): HeadsRead {
  let heads = "";
  let isChanged = false;
  for (let from = 0; ; ) {
    if (!text.startsWith("HTTP/1.", from) && !"HTTP/1.".startsWith(text.slice(from, from + 7)))
      return { kind: "asItIs" };
    const at = text.indexOf(headEnd, from);
    // A bare line feed: no end of the usual kind will come.
    if (at < 0) return /(?:^|[^\r])\n/.test(text) ? { kind: "asItIs" } : { kind: "partial" };
    const end = at + headEnd.length;
    const status = text.slice(from + 9, from + 12);
    const isInterim = status.startsWith("1") && status !== "101";
    if (status === "100") {
      isChanged = true;
    } else {
      const head = text.slice(from, end);
      const mended = withOneLength(head);
      isChanged ||= mended !== head;
      heads += mended;
    }
    if (!isInterim) return isChanged ? { kind: "changed", heads, end } : { kind: "asItIs" };
    from = end;
  }
}

/** Lengths that differ stay as they are. */
function withOneLength(head: string): string {
  lengthFields.lastIndex = 0;
  const first = lengthFields.exec(head);
  if (first === null) return head;
  const isAlone = !lengthFields.test(head);
  if (isAlone && !first[1]!.includes(",")) return head;
  lengthFields.lastIndex = 0;
  const lengths = [...head.matchAll(lengthFields)].flatMap(([, value]) => value!.split(",").map((one) => one.trim()));
  const length = lengths[0]!;
  if (!/^[0-9]+$/.test(length) || lengths.some((other) => other !== length)) return head;
  let isFirst = true;
  return head.replace(lengthFields, (field, value: string) => {
    if (!isFirst) return "";
    isFirst = false;
    return field.slice(0, field.length - value.length) + length;
  });
}
