import { Readable } from "node:stream";

/** The rest of an answer, held back while nobody reads it. */
export class ResponseStream extends Readable {
  readonly trailers: string[] = [];
  #isHeld = true;

  constructor(
    readonly endless: boolean,
    private readonly wantMore: () => void,
    private readonly cut: () => void,
  ) {
    super({ highWaterMark: 64 * 1024 });
    // It may break before, or after, anybody reads it.
    this.on("error", () => {});
  }

  override push(chunk: Buffer | null): boolean {
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

  override _read(): void {
    if (!this.#isHeld) return;
    this.#isHeld = false;
    this.wantMore();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.cut();
    callback(error);
  }
}
