import { el } from "./dom.js";
import { count, exactMoment, rowMoment } from "./format.js";
import { causes, decided, results } from "./words.js";

/** What the store knows and what the gateway's processes have seen, oldest first. */
export function timelineSection({ events, seen }) {
  return el(
    "section",
    { "aria-labelledby": "timeline-title" },
    el("h2", { id: "timeline-title" }, "Timeline"),
    el("ol", { class: "timeline" }, ...events.map(entry)),
    el("p", { class: "hint" }, honesty(seen)),
  );
}

function honesty({ since, processes, silent }) {
  const who = processes === 1 ? "this process has" : `the ${processes} processes of this gateway have`;
  const missing = silent > 0 ? ` ${silent} did not answer in time.` : "";
  return `Requests, replays and decisions are those ${who} seen since ${exactMoment(since)}; they are kept in memory only, and other hosts see their own.${missing}`;
}

function entry(event) {
  const { title, detail, tone } = words(event);
  return el(
    "li",
    { class: `${tone} ${event.source}` },
    el("time", { datetime: event.at, title: exactMoment(event.at) }, rowMoment(event.at)),
    el("div", {}, el("strong", {}, title), detail === "" ? null : el("span", { class: "meaning" }, detail)),
  );
}

function words(event) {
  switch (event.kind) {
    case "claimed":
      return { title: "Claimed", detail: "the key was free, and a request took it", tone: "" };
    case "dispatched":
      return { title: "Dispatched", detail: "the upstream is called", tone: "" };
    case "taken_over":
      return { title: "Taken over", detail: `attempt ${count(event.attempts)} runs`, tone: "" };
    case "stored":
      return { title: `Stored: ${event.status}`, detail: attemptsText(event), tone: "good" };
    case "not_stored":
      return { title: `Answered ${event.status}, not stored`, detail: attemptsText(event), tone: "good" };
    case "in_doubt":
      return { title: `In doubt: ${event.cause}`, detail: causes[event.cause] ?? "", tone: "doubt" };
    case "lease_lost":
      return { title: "Lease lost", detail: "before its request had ended", tone: "doubt" };
    case "audit":
      return auditWords(event);
    default:
      return requestWords(event);
  }
}

function attemptsText({ attempts }) {
  return attempts > 1 ? `after ${count(attempts)} attempts` : "";
}

function auditWords({ who, action, result, reason }) {
  const title = `${capital(action)}: ${decided[result] ?? result}`;
  return { title, detail: reason === undefined ? `by ${who}` : `by ${who}: “${reason}”`, tone: "operator" };
}

const titles = {
  executed: "Answered",
  replayed: "Replayed",
  shared: "Shared",
  error: "Failed",
};

function requestWords({ result, method, status, durationMs, code, hungUp }) {
  const title = `${titles[result] ?? "Refused"}: ${status}${code === undefined ? "" : ` ${code}`}`;
  const took = durationMs < 1000 ? `${durationMs} ms` : `${(durationMs / 1000).toFixed(1)} s`;
  // A problem's code says more than the class it is counted in.
  const meaning = code === undefined ? `${results[result] ?? result}, ` : "";
  const told = `${method}, ${meaning}after ${took}`;
  const isBad = result === "error" || result === "outcome_unknown";
  return { title, detail: hungUp ? `${told}; the client had hung up` : told, tone: isBad ? "doubt" : "" };
}

function capital(text) {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}
