/** SQLite's result codes, as far as they are distinguished here (https://www.sqlite.org/rescode.html). */
const code = { busy: 5, noMemory: 7, ioError: 10, corrupt: 11, full: 13, notADatabase: 26 } as const;

function resultCodeOf(error: unknown): number {
  const { errcode } = error as { readonly errcode?: unknown };
  return typeof errcode === "number" ? errcode & 0xff : -1;
}

export function isBusy(error: unknown): boolean {
  return resultCodeOf(error) === code.busy;
}

/** SQLite rolls the transaction back: nothing of it has happened. */
export function isDiskFull(error: unknown): boolean {
  return resultCodeOf(error) === code.full;
}

export function isDamage(error: unknown): boolean {
  return resultCodeOf(error) === code.corrupt || resultCodeOf(error) === code.notADatabase;
}

/** Whether the whole transaction is lost, and not only the statement that met the error. */
export function endsTransaction(error: unknown): boolean {
  const found = resultCodeOf(error);
  return found === code.ioError || found === code.full || found === code.noMemory || isDamage(error);
}
