/**
 * What the server's clock shows, as far as this process knows. Every reply that carries the server's time corrects it;
 * the way back took time, so it is never ahead of the server, and a claim's deadline never too late.
 *
 * Before it has learnt anything it is off by decades: the first claim is refused as late, and teaches it.
 */
export class ServerClock {
  #offsetMs = 0;

  constructor(private readonly elapsedMs: () => number = () => performance.now()) {}

  learn(serverNowMs: number): void {
    this.#offsetMs = serverNowMs - this.elapsedMs();
  }

  /** After a new connection: it may lead to another server. */
  forget(): void {
    this.#offsetMs = 0;
  }

  nowMs(): number {
    return Math.round(this.elapsedMs() + this.#offsetMs);
  }
}
