/** One-based, in UTF-16 units, as editors count. */
export interface Place {
  readonly line: number;
  readonly column: number;
}

/** Something the operator has to mend, or with `warnings` may want to. */
export interface Mistake extends Place {
  readonly file: string;
  /** `routes[0].idempotency.key.from`; `(document)` for the file as a whole. */
  readonly path: string;
  readonly message: string;
}

export function formatMistake(mistake: Mistake): string {
  return `${mistake.file}:${mistake.line}:${mistake.column} ${mistake.path}: ${mistake.message}`;
}

/** `a`, `b` → `a.b`; `a`, 0 → `a[0]`; a name that would read as something else is quoted. */
export function under(path: string, step: string | number): string {
  if (typeof step === "number") return `${path}[${step}]`;
  if (!/^[\w$-]+$/.test(step)) return `${path}[${JSON.stringify(step)}]`;
  return path === "" ? step : `${path}.${step}`;
}

/** `a.b[0].c` → `a.b[0]`, `a.b`, `a`; the document as a whole is above nothing. */
function aboveOf(path: string): readonly string[] {
  const above: string[] = [];
  for (let at = parentOf(path); at !== ""; at = parentOf(at)) above.push(at);
  return above;
}

function parentOf(path: string): string {
  return path.replace(/(\.[\w$-]+|\[(\d+|"(?:[^"\\]|\\.)*")\]|^[\w$-]+)$/, "");
}

/** What was found wrong, and where each setting stands in the file. */
export class Findings {
  readonly #file: string;
  readonly #places = new Map<string, Place>();
  readonly #mistakes = new Map<string, Mistake>();
  readonly #warnings = new Map<string, Mistake>();
  /** Paths with a mistake of their own. */
  readonly #wrong = new Set<string>();
  /** Those, and every path above them. */
  readonly #touched = new Set<string>();

  constructor(file: string) {
    this.#file = file;
  }

  place(path: string, place: Place): void {
    this.#places.set(path, place);
  }

  isWritten(path: string): boolean {
    return this.#places.has(path);
  }

  /** At the setting's value, or at the nearest thing around it that is written. */
  mistake(path: string, message: string, place: Place = this.placeOf(path)): void {
    record(this.#mistakes, { file: this.#file, ...place, path: path === "" ? "(document)" : path, message });
    this.#wrong.add(path);
    for (const touched of [path, ...aboveOf(path)]) this.#touched.add(touched);
  }

  warning(path: string, message: string): void {
    record(this.#warnings, { file: this.#file, ...this.placeOf(path), path, message });
  }

  /** Whether these settings may be compared with others: nothing wrong was found in, below or above them. */
  isSound(...paths: readonly string[]): boolean {
    return paths.every((path) => !this.#touched.has(path) && !aboveOf(path).some((above) => this.#wrong.has(above)));
  }

  get mistakes(): readonly Mistake[] {
    return inOrder(this.#mistakes);
  }

  get warnings(): readonly Mistake[] {
    return inOrder(this.#warnings);
  }

  /** Of the value, or of the nearest thing around it that is written. */
  placeOf(path: string): Place {
    for (const at of [path, ...aboveOf(path)]) {
      const place = this.#places.get(at);
      if (place !== undefined) return place;
    }
    return this.#places.get("") ?? { line: 1, column: 1 };
  }
}

/** A mistake in `defaults`, or behind an alias, is met once for each route that inherits it, and told once. */
function record(all: Map<string, Mistake>, mistake: Mistake): void {
  all.set(formatMistake(mistake), mistake);
}

function inOrder(all: ReadonlyMap<string, Mistake>): Mistake[] {
  return [...all.values()].sort((a, b) => a.line - b.line || a.column - b.column);
}
