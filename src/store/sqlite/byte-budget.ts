/** So many bytes at one time; who wants more waits for its turn, first come first served. */
export class ByteBudget {
  #left: number;
  readonly #waiting: { readonly size: number; readonly go: () => void }[] = [];

  constructor(private readonly most: number) {
    this.#left = most;
  }

  /** One that is larger than all of it goes alone. Returns the way to give it back. */
  async take(bytes: number): Promise<() => void> {
    const size = Math.min(bytes, this.most);
    if (this.#waiting.length > 0 || this.#left < size) {
      await new Promise<void>((go) => this.#waiting.push({ size, go }));
    } else this.#left -= size;
    return () => this.#giveBack(size);
  }

  #giveBack(size: number): void {
    this.#left += size;
    while (this.#waiting.length > 0 && this.#waiting[0]!.size <= this.#left) {
      const next = this.#waiting.shift()!;
      this.#left -= next.size;
      next.go();
    }
  }
}
