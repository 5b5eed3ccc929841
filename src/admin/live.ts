/** How one route stands now, out of `/metrics`. */
export interface LiveRoute {
  /** `null`: no route took them. */
  readonly route: string | null;
  readonly inFlight: number;
  readonly waiting: number;
  /** Since the start of the processes that are running, by result. */
  readonly requests: Readonly<Record<string, number>>;
}

export interface Live {
  /** When it was counted. */
  readonly at: string;
  readonly routes: readonly LiveRoute[];
}

interface Scraper {
  scrape(): Promise<string>;
}

const leastAgeMs = 900;
/** A scrape may take a twentieth of the time, however many consoles are looking and however many routes there are. */
const share = 20;

/** Reads the counts out of a scrape, which has added up all workers already. Several that ask at once share one scrape. */
export function liveCounts(metrics: Scraper): () => Promise<Live> {
  let counted: Promise<Live> | undefined;
  let staleAtMs = 0;
  return () => {
    if (counted !== undefined && performance.now() < staleAtMs) return counted;
    const begunMs = performance.now();
    staleAtMs = Number.POSITIVE_INFINITY;
    const count = metrics.scrape().then((text) => ({ at: new Date().toISOString(), routes: readRoutes(text) }));
    const end = () => {
      const nowMs = performance.now();
      staleAtMs = nowMs + Math.max(leastAgeMs, share * (nowMs - begunMs));
    };
    count.then(end, () => {
      counted = undefined;
    });
    counted = count;
    return count;
  };
}

const linePattern = /^idempotency_gateway_(requests_total|in_flight|waiters)\{(.*)\} (\S+)/gm;
const labelPattern = /(\w+)="((?:[^"\\]|\\.)*)"/g;

function readRoutes(text: string): LiveRoute[] {
  const routes = new Map<string, { inFlight: number; waiting: number; requests: Record<string, number> }>();
  for (const [, family, inside, value] of text.matchAll(linePattern)) {
    const labels = new Map(Array.from(inside!.matchAll(labelPattern), ([, name, raw]) => [name!, unescaped(raw!)]));
    const name = labels.get("route") ?? "";
    const route = routes.get(name) ?? { inFlight: 0, waiting: 0, requests: {} };
    routes.set(name, route);
    const number = Number(value);
    if (family === "in_flight") route.inFlight += number;
    else if (family === "waiters") route.waiting += number;
    else {
      const result = labels.get("result") ?? "";
      route.requests[result] = (route.requests[result] ?? 0) + number;
    }
  }
  return Array.from(routes, ([name, counts]) => ({ route: name === "" ? null : name, ...counts }));
}

/** As the exposition format writes a label's value. */
function unescaped(raw: string): string {
  return raw.replace(/\\(.)/g, (_, escaped: string) => (escaped === "n" ? "\n" : escaped));
}
