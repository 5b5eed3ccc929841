import { call } from "./api.js";
import { el, field, setText, th, viewHeading, wide } from "./dom.js";
import { exactMoment, moment, shortId } from "./format.js";
import { states } from "./words.js";

/** What was looked for last, so that coming back from a record shows it again. In memory only: a key is a secret. */
const last = { text: "", parts: false, state: "", results: null };

/** From a key, or the first digits of a record's id, to its records. */
export function openFind(at) {
  const one = el("input", { type: "search", name: "key", autocomplete: "off", spellcheck: "false" });
  const many = el("textarea", { name: "parts", rows: "3", autocomplete: "off", spellcheck: "false" });
  const oneField = field(
    "Idempotency key, or a record id",
    one,
    "An id may be cut after 8 digits or more, as log lines have it.",
  );
  const manyField = field("The key's values, a line each", many, "In the order in which the route's key lists them.");
  const hasParts = el("input", { type: "checkbox", id: "has-parts" });
  const state = el(
    "select",
    { name: "state" },
    el("option", { value: "" }, "any state"),
    ...Object.entries(states).map(([value, text]) => el("option", { value }, text)),
  );
  const status = el("p", { role: "status", class: "note" });
  const results = el("section", { "aria-label": "Results", hidden: true });
  const setParts = () => {
    oneField.hidden = hasParts.checked;
    manyField.hidden = !hasParts.checked;
  };
  hasParts.addEventListener("change", setParts);
  hasParts.checked = last.parts;
  state.value = last.state;
  (last.parts ? many : one).value = last.text;
  setParts();

  const search = async (event) => {
    event.preventDefault();
    const text = hasParts.checked ? many.value : one.value.trim();
    Object.assign(last, { text, parts: hasParts.checked, state: state.value, results: null });
    if (text === "") return setText(status, "Give a key or an id.");
    setText(status, "Looking…");
    results.hidden = true;
    try {
      last.results = await find(text, last);
      show();
    } catch (error) {
      setText(status, error.message);
    }
  };
  const show = () => {
    const { records, isWhole } = last.results;
    setText(status, foundText(records.length, isWhole));
    results.hidden = records.length === 0;
    results.replaceChildren(tableOf(records));
  };
  at.append(
    viewHeading("Find a record"),
    el(
      "form",
      { class: "search", role: "search", "aria-label": "Records", onsubmit: search },
      oneField,
      manyField,
      el("p", { class: "check" }, hasParts, el("label", { for: "has-parts" }, "The key is made of several values")),
      el("div", { class: "row" }, field("State", state), el("button", { type: "submit", class: "strong" }, "Find")),
    ),
    status,
    results,
  );
  if (last.results !== null) show();
}

const atMost = 200;

/** A key may look like an id: then both are asked for. */
async function find(text, { parts, state }) {
  const keys = parts ? text.split("\n").filter((line) => line !== "") : [text];
  const queries = [keys.map((key) => ["key", key])];
  if (!parts && /^[\da-f]{8,64}$/i.test(text)) queries.push([["id", text]]);
  const shared = [["limit", String(atMost)], ...(state === "" ? [] : [["state", state]])];
  const pages = await Promise.all(
    queries.map((query) => call("GET", `v1/records?${new URLSearchParams([...query, ...shared])}`)),
  );
  const found = new Map(pages.flatMap(({ data }) => data.records).map((record) => [record.id, record]));
  const records = [...found.values()].sort((a, b) => b.createdAt.localeCompare(a.createdAt));
  return { records, isWhole: pages.every(({ data }) => data.cursor === null) };
}

function foundText(number, isWhole) {
  const many =
    number === 0 ? "No record has this key or id." : number === 1 ? "1 record." : `${number} records, newest first.`;
  return isWhole
    ? many
    : `${many} The search stopped before it had looked at all records: look again, or use the command line.`;
}

function tableOf(records) {
  const head = el(
    "tr",
    {},
    th("Record"),
    th("State"),
    th("Status", { class: "number" }),
    th("Route"),
    th("Namespace"),
    th("Created"),
  );
  const rows = records.map((record) =>
    el(
      "tr",
      {},
      el("td", {}, el("a", { href: `#/records/${record.id}`, class: "id" }, shortId(record.id))),
      el("td", {}, badge(record.state)),
      el("td", { class: "number" }, record.status ?? "–"),
      el("td", {}, record.route),
      el("td", {}, record.namespace),
      el(
        "td",
        {},
        el("time", { datetime: record.createdAt, title: exactMoment(record.createdAt) }, moment(record.createdAt)),
      ),
    ),
  );
  return wide("Records found", el("table", {}, el("thead", {}, head), el("tbody", {}, ...rows)));
}

export function badge(state) {
  return el("span", { class: `badge ${state}` }, states[state] ?? state);
}
