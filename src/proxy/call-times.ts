/** How long a call may take, and wait. */
export interface CallTimes {
  /** To the complete answer; of one that is streamed to its head, then between two of its parts. */
  readonly timeoutMs: number;
  /** While nothing was sent it is tried again for so long. */
  readonly retryUnsentMs?: number;
  /** Called each time anything is sent, or tried, again. */
  readonly retries?: (() => void) | undefined;
}

/** Of a call that was not sent yet: so long it may wait for a connection. */
export function callTimer(expire: () => void, { timeoutMs, retryUnsentMs = 0 }: CallTimes): NodeJS.Timeout {
  return setTimeout(expire, Math.max(timeoutMs, retryUnsentMs));
}

/** From sending a request to its answer it has all of its time, however long it has waited for a connection. */
export function sentTimer(timer: NodeJS.Timeout, expire: () => void, { timeoutMs, retryUnsentMs = 0 }: CallTimes) {
  if (retryUnsentMs <= timeoutMs) return timer.refresh();
  clearTimeout(timer);
  return setTimeout(expire, timeoutMs);
}

/** Whether a call that could not be sent is tried again. The caller does so. */
export function mayTryAgain({ retryUnsentMs = 0, retries }: Omit<CallTimes, "timeoutMs">, begunMs: number): boolean {
  if (retryUnsentMs === 0 || performance.now() - begunMs >= retryUnsentMs) return false;
  retries?.();
  return true;
}
