import { Readable } from "node:stream";
import type { StreamEnd, StreamedBody } from "../model.js";

/** How much of a stream without a client is read at most, bytes. */
const maxReadOnBytes = 1024 * 1024 * 1024;

/** The rest of a response, held back while no client reads it. */
export class ResponseStream extends Readable implements StreamedBody {
  readonly trailers: string[] = [];
  readonly ended: Promise<StreamEnd>;
  /** The first call decides. */
  #end!: (end: StreamEnd) => void;
  #isHeld = true;
  #readOnTimer: NodeJS.Timeout | undefined;

  constructor(
    private readonly wantMore: () => void,
    private readonly cut: () => void,
    private readonly maxReadOnMs: number,
  ) {
    super({ highWaterMark: 64 * 1024 });
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
    // It may break before a client reads it, and after.
    this.on("error", () => {});
  }

  override push(chunk: Buffer | null): boolean {
    if (chunk === null) this.#end({ kind: "whole" });
    const isWanted = super.push(chunk);
    this.#isHeld = !isWanted;
    return isWanted;
  }

  /** Nothing more comes from the upstream until it is asked for. */
  get isHeld(): boolean {
    return this.#isHeld;
  }

  hold(): void {
    this.#isHeld = true;
  }

  readOn(): void {
    if (this.destroyed || this.#readOnTimer !== undefined) return;
    let bytes = 0;
    this.#readOnTimer = setTimeout(() => this.destroy(new ReadOnError("TIMEOUT")), this.maxReadOnMs);
    this.on("data", (part: Buffer) => {
      bytes += part.length;
      if (bytes > maxReadOnBytes) this.destroy(new ReadOnError("TOO_LARGE"));
    });
    this.on("close", () => clearTimeout(this.#readOnTimer));
    this.resume();
  }

  override _read(): void {
    if (!this.#isHeld) return;
    this.#isHeld = false;
    this.wantMore();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    const isTimeout = (error as { code?: unknown } | null)?.code === "TIMEOUT";
    this.#end({ kind: "torn", error: error ?? new CutError(), cause: isTimeout ? "timeout" : "reset" });
    this.cut();
    callback(error);
  }
}

class ReadOnError extends Error {
  override readonly name = "ReadOnError";

  constructor(readonly code: "TIMEOUT" | "TOO_LARGE") {
    super("the client has left, and the stream did not end within the bounds for one without a client");
  }
}

class CutError extends Error {
  override readonly name = "CutError";
  readonly code = "CUT";

  constructor() {
    super("the stream was cut before its end");
  }
}
