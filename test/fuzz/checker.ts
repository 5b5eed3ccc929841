import { type Dispatched, type FuzzHistory, isProtected, type SessionSeen, type Violation } from "./history.js";
import {
  type AnswerRead,
  fieldOf,
  type Reading,
  type RequestRead,
  readAnswers,
  readRequests,
} from "./strict-reader.js";

interface Read {
  readonly session: SessionSeen;
  readonly requests: Reading<RequestRead>;
  readonly answers: Reading<AnswerRead>;
}

const isSafe = (method: string): boolean => method === "GET" || method === "HEAD";
const originForm = (target: string): string => target.replace(/^http:\/\/[^/]*/i, "");

interface Sent {
  readonly session: SessionSeen;
  readonly request: RequestRead;
}

/** By identity: more than one where the corpus changed what tells two copies apart. */
type Known = ReadonlyMap<string, readonly Sent[]>;

/** What no two messages of a corpus share, unless the corpus itself changed it. */
const identityOf = (one: RequestRead | Dispatched): string =>
  `${one.method} ${originForm(one.target)} ${fieldOf(one, "x-copy") ?? ""}`;

/** Everything that may not have happened in this history. */
export function checkFuzz(history: FuzzHistory): Violation[] {
  const reads = history.sessions.map(readSession);
  const found: Violation[] = history.unreadable.map((octets) => ({
    what: "the gateway sent octets that are no HTTP/1.1",
    session: undefined,
    detail: octets,
  }));
  const byIdentity = new Map<string, Sent[]>();
  for (const { session, requests } of reads) {
    for (const request of requests.messages) {
      const name = identityOf(request);
      byIdentity.set(name, [...(byIdentity.get(name) ?? []), { session, request }]);
    }
  }
  for (const dispatch of history.dispatches) found.push(...dispatchFaults(dispatch, byIdentity, reads));
  found.push(...repeats(history.dispatches, byIdentity));
  const bySerial = new Map(history.dispatches.map((dispatch) => [dispatch.serial, dispatch]));
  const isAlone = (dispatch: Dispatched) => byIdentity.get(identityOf(dispatch))?.length === 1;
  const dispatched = new Set(history.dispatches.filter(isAlone).map(identityOf));
  for (const read of reads) found.push(...answerFaults(read, bySerial), ...runBehindTheEnd(read, dispatched));
  return found;
}

function readSession(session: SessionSeen): Read {
  const requests = readRequests(session.sent, session.mayRun);
  const methods = requests.messages.map(({ method }) => method);
  return { session, requests, answers: readAnswers(session.received, methods) };
}

function dispatchFaults(dispatch: Dispatched, known: Known, reads: readonly Read[]): Violation[] {
  const detail = `dispatch ${dispatch.serial}: ${identityOf(dispatch)}\n${dispatch.body}`;
  const sources = known.get(identityOf(dispatch)) ?? [];
  const [source] = sources;
  if (source !== undefined) {
    const faults = sources.map(({ request }) => bodyFault(dispatch, request));
    const [what = ""] = faults;
    return faults.includes("") ? [] : [{ what, session: source.session, detail }];
  }
  // Which connection it may have come from, for who looks into it.
  const [, id] = /^c(\d+)-/.exec(fieldOf(dispatch, "x-copy") ?? "") ?? [];
  const read = reads.find(({ session }) => session.id === Number(id));
  const why = `the strict reader stopped: ${read?.requests.why || read?.requests.rest}`;
  return [{ what: "nobody sent this request", session: read?.session, detail: `${detail}\n${why}` }];
}

function bodyFault(dispatch: Dispatched, sent: RequestRead): string {
  if (!sent.body.startsWith(dispatch.body)) return "the body is not the one that was sent";
  if (dispatch.isWhole && (!sent.isWhole || sent.body.length !== dispatch.body.length))
    return "a body was completed that was not sent whole";
  return !sent.isWhole && isProtected(sent.target) ? "a protected request was sent before its body was there" : "";
}

/** A client sends each copy once; the gateway may repeat a safe request alone. Beyond that a key runs once. */
function repeats(dispatches: readonly Dispatched[], known: Known): Violation[] {
  const found: Violation[] = [];
  const copies = new Map<string, number>();
  const byKey = new Map<string, Dispatched>();
  for (const dispatch of dispatches) {
    if (isSafe(dispatch.method)) continue;
    const name = identityOf(dispatch);
    const sources = known.get(name) ?? [];
    const fault = (detail: string) => found.push({ what: "dispatched twice", session: sources[0]?.session, detail });
    const count = (copies.get(name) ?? 0) + 1;
    copies.set(name, count);
    // That nobody sent it is a fault of its own.
    if (sources.length > 0 && count > sources.length) fault(`${name}: dispatch ${dispatch.serial} is number ${count}`);
    const key = isProtected(dispatch.target) ? fieldOf(dispatch, "idempotency-key")?.replaceAll('"', "") : undefined;
    if (key === undefined) continue;
    const place = `${fieldOf(dispatch, "host")?.toLowerCase()} ${key}`;
    const earlier = byKey.get(place);
    byKey.set(place, dispatch);
    if (earlier !== undefined && !earlier.mayRelease)
      fault(`key ${place}: dispatches ${earlier.serial} (${earlier.script}) and ${dispatch.serial}`);
  }
  return found;
}

function answerFaults({ session, requests, answers }: Read, bySerial: Map<number, Dispatched>): Violation[] {
  const found: Violation[] = [];
  const fault = (what: string, detail: string) => found.push({ what, session, detail });
  if (answers.rest === "broken") fault("the client got octets that are no HTTP/1.1", answers.why);
  // One more: the refusal of what could not be read.
  if (answers.messages.length > requests.messages.length + 1) fault("more answers than requests", "");
  let from = 0;
  for (const [index, answer] of answers.messages.entries()) {
    const isLast = index === answers.messages.length - 1;
    const text = session.received.slice(from, isLast ? undefined : answer.end);
    from = answer.end;
    const request = requests.messages[index];
    for (const [, serial] of text.matchAll(/<answer-(\d+)>/g)) {
      const dispatch = bySerial.get(Number(serial));
      if (dispatch?.isCrossed) continue;
      if (dispatch === undefined || request === undefined || !belongs(dispatch, request)) {
        fault("an answer reached another request", `answer ${index} has the answer of dispatch ${serial}`);
        continue;
      }
      const { answerBody } = dispatch;
      const isPromised = answer.isWhole && request.method !== "HEAD" && answer.status === 201;
      if (isPromised && answerBody !== undefined && answer.body !== answerBody)
        fault("an answer was changed", `answer ${index}, dispatch ${serial}: ${answer.body}`);
    }
  }
  return found;
}

/** A replay has the answer of an earlier copy of the same message. */
function belongs(dispatch: Dispatched, request: RequestRead): boolean {
  if (dispatch.method !== request.method) return false;
  return originForm(dispatch.target) === originForm(request.target);
}

function runBehindTheEnd({ session, requests, answers }: Read, dispatched: ReadonlySet<string>): Violation[] {
  const last = answers.messages.findIndex(
    (answer) => /\bclose\b/i.test(fieldOf(answer, "connection") ?? "") || isAmbiguous(answer),
  );
  if (last < 0) return [];
  return requests.messages
    .slice(last + 1)
    .flatMap((request) =>
      dispatched.has(identityOf(request))
        ? [{ what: "dispatched behind the end of its connection", session, detail: identityOf(request) }]
        : [],
    );
}

const isAmbiguous = ({ status, body }: AnswerRead): boolean =>
  status === 400 && /"code":\s*"request-ambiguous"/.test(body);
