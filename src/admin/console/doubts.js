import { call } from "./api.js";
import { el, setText, th, wide } from "./dom.js";
import { count, exactMoment, shortId, span } from "./format.js";
import { tell } from "./news.js";
import { repeat } from "./repeat.js";
import { causes } from "./words.js";

const everyMs = 4_000;
const pageSize = 1000;
/** The API lists the newest first, so the oldest are only known when all pages were turned. */
const maxPages = 10;
const shownAtMost = 100;

/** What nobody can know, the oldest first. */
export function openDoubts({ at, figures }) {
  const number = el("span", { class: "number", "data-figure": "in-doubt" }, "…");
  const oldest = el("span", { class: "meaning" });
  const figure = el("p", { class: "figure in-doubt" }, el("span", { class: "label" }, "In doubt"), number, oldest);
  figures.append(figure);
  const note = el("p", { class: "note" });
  const body = el("tbody");
  const head = el(
    "tr",
    {},
    th("Record"),
    th("In doubt for"),
    th("Cause"),
    th("Route"),
    th("Attempts", { class: "number roomy" }),
    th("Kept for", { class: "roomy" }),
  );
  const table = wide("Records in doubt", el("table", {}, el("thead", {}, head), body));
  table.hidden = true;
  at.append(el("h2", { id: "doubts-title" }, "In doubt, oldest first"), note, table);
  const rows = new Map();
  let known;

  return repeat(async (signal) => {
    const { records, isWhole } = await allDoubts(signal);
    records.sort((a, b) => a.updatedAt.localeCompare(b.updatedAt));
    const many = `${count(records.length)}${isWhole ? "" : " or more"}`;
    setText(number, many);
    figure.classList.toggle("some", records.length > 0);
    setText(oldest, records.length === 0 ? "nothing to decide" : `the oldest for ${ageOf(records[0], Date.now())}`);
    setText(note, noteOn(records.length, isWhole));
    table.hidden = records.length === 0;
    show(body, rows, records.slice(0, shownAtMost));
    if (known !== undefined && known < records.length)
      tell(`${many} in doubt, ${count(records.length - known)} more than before.`);
    known = records.length;
  }, everyMs);
}

function ageOf({ updatedAt }, nowMs) {
  return span(Math.max(0, nowMs - Date.parse(updatedAt)));
}

function noteOn(number, isWhole) {
  if (number === 0) return "Nothing is in doubt.";
  if (!isWhole) return "There are more than can be put in order here; older ones may be missing. Use the command line.";
  const rest = number > shownAtMost ? ` The ${shownAtMost} oldest are shown.` : "";
  return `Their requests were sent on, and nobody can know whether the API acted. Look there, then decide.${rest}`;
}

async function allDoubts(signal) {
  const records = [];
  let cursor = null;
  for (let page = 0; page < maxPages; page++) {
    const query = new URLSearchParams({
      state: "in_doubt",
      limit: String(pageSize),
      ...(cursor === null ? {} : { cursor }),
    });
    const { data } = await call("GET", `v1/records?${query}`, { signal });
    records.push(...data.records);
    cursor = data.cursor;
    if (cursor === null) return { records, isWhole: true };
  }
  return { records, isWhole: false };
}

/** Rows are kept and moved, not made anew: whoever has the focus in one keeps it. */
function show(body, rows, records) {
  const focused = document.activeElement;
  const nowMs = Date.now();
  const shown = new Set(records.map(({ id }) => id));
  for (const [id, { row }] of rows) {
    if (shown.has(id)) continue;
    row.remove();
    rows.delete(id);
  }
  for (const [at, record] of records.entries()) {
    const known = rows.get(record.id) ?? makeRow(record);
    rows.set(record.id, known);
    known.set(record, nowMs);
    if (body.children[at] !== known.row) body.insertBefore(known.row, body.children[at] ?? null);
  }
  if (focused !== document.activeElement && focused?.isConnected) focused.focus();
}

function makeRow({ id }) {
  const since = el("time");
  const cause = el("td");
  const route = el("td");
  const attempts = el("td", { class: "number roomy" });
  const kept = el("td", { class: "roomy" });
  const link = el("a", { href: `#/records/${id}`, class: "id" }, shortId(id));
  const name = el("th", { scope: "row" }, link);
  const row = el("tr", {}, name, el("td", {}, since), cause, route, attempts, kept);
  return {
    row,
    set(record, nowMs) {
      setText(since, ageOf(record, nowMs));
      since.setAttribute("datetime", record.updatedAt);
      since.title = exactMoment(record.updatedAt);
      const text = `${record.cause}: ${causes[record.cause] ?? ""}`;
      if (cause.textContent !== text) {
        cause.replaceChildren(
          el("strong", {}, record.cause),
          el("span", { class: "hidden" }, ": "),
          el("span", { class: "meaning" }, causes[record.cause] ?? ""),
        );
      }
      setText(route, record.route);
      setText(attempts, count(record.attempts));
      setText(kept, span(Math.max(0, Date.parse(record.expiresAt) - nowMs)));
    },
  };
}
