/**
 * Does something now and again while the page is seen: never twice at a time, and what fails is tried again later.
 *
 * @param {(signal: AbortSignal) => Promise<void>} work
 */
export function repeat(work, everyMs) {
  const end = new AbortController();
  let isPaused = false;
  let timer;
  const turn = async () => {
    clearTimeout(timer);
    if (!isPaused && !document.hidden) await work(end.signal).catch(() => {});
    if (!end.signal.aborted) timer = setTimeout(turn, everyMs);
  };
  void turn();
  return {
    setPaused: (paused) => {
      isPaused = paused;
    },
    close: () => {
      clearTimeout(timer);
      end.abort();
    },
  };
}
