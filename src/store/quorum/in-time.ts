export class TooLateError extends Error {
  override readonly name = "TooLateError";
}

/** Settles as `promise` does, or rejects with `TooLateError` after `ms`. What comes later is nobody's, and no fault. */
export function inTime<T>(promise: Promise<T>, ms: number): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new TooLateError(`no answer in ${ms} ms`)), ms);
    promise.then(
      (value) => {
        clearTimeout(timer);
        resolve(value);
      },
      (error) => {
        clearTimeout(timer);
        reject(error);
      },
    );
  });
}
