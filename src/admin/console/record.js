import { call } from "./api.js";
import { askDelete, askResolve } from "./decide.js";
import { el, facts, viewHeading } from "./dom.js";
import { badge } from "./find.js";
import { count, exactMoment, shortId, span } from "./format.js";
import { tell } from "./news.js";
import { responseSection } from "./response.js";
import { timelineSection } from "./timeline.js";
import { causes } from "./words.js";

/** One record: what is known of it, what happened to it, and what may be decided. */
export function openRecord(at, id) {
  const heading = viewHeading(`Record ${shortId(id)}`);
  const again = el("button", { type: "button", class: "quiet" }, "Look again");
  const body = el("div", { class: "stack" }, el("p", { class: "note" }, "Looking…"));
  at.append(el("div", { class: "title-row" }, heading, again), body);

  const look = async () => {
    try {
      const [record, timeline] = await Promise.all([
        orNothing(call("GET", `v1/records/${id}`)),
        orNothing(call("GET", `v1/records/${id}/timeline`)),
      ]);
      body.replaceChildren(...partsOf(id, record, timeline?.data, look));
      // What had the focus may be gone with the state it belonged to.
      if (document.activeElement === document.body) heading.focus();
    } catch (error) {
      body.replaceChildren(el("p", { class: "trouble", role: "alert" }, error.message));
    }
  };
  again.addEventListener("click", async () => {
    await look();
    tell("The record was looked at again.");
  });
  void look();
}

/** There may be no record any more, and still something seen of it. */
async function orNothing(answer) {
  try {
    return await answer;
  } catch (error) {
    if (error.status === 404) return null;
    throw error;
  }
}

function partsOf(id, found, timeline, look) {
  const parts = [];
  if (found === null) {
    parts.push(
      el(
        "p",
        { class: "note" },
        "There is no record with this id: it was deleted or released, its time is over, or it never was.",
      ),
    );
  } else {
    parts.push(summary(id, found, look), known(found.data));
  }
  if (timeline) parts.push(timelineSection(timeline));
  if (found?.data.state === "completed") parts.push(responseSection(id));
  return parts;
}

const meanings = {
  in_flight: "An upstream works on its request now.",
  completed: "Its response is stored, and given to every retry.",
  not_replayable: "It was carried out, but its response was too large to keep or was a stream: retries get 409.",
};

function summary(id, { data, etag }, look) {
  const decided = async (text) => {
    await look();
    tell(text);
  };
  const seen = { id, record: data, etag };
  const resolve = el(
    "button",
    { type: "button", class: "strong", onclick: () => askResolve(seen, decided, look) },
    "Resolve…",
  );
  const remove = el(
    "button",
    { type: "button", class: "danger", onclick: () => askDelete(seen, decided, look) },
    "Delete…",
  );
  const meaning =
    data.state === "in_doubt"
      ? `Nobody can know whether it was carried out: ${causes[data.cause] ?? data.cause}.`
      : meanings[data.state];
  return el(
    "section",
    { class: `summary ${data.state}`, "aria-label": "State" },
    el("p", { class: "state" }, badge(data.state), el("span", {}, meaning)),
    el(
      "div",
      { class: "actions" },
      data.state === "in_doubt" ? resolve : null,
      data.state === "in_flight" ? null : remove,
    ),
  );
}

function known(record) {
  const nowMs = Date.now();
  const time = (iso) => el("time", { datetime: iso }, exactMoment(iso));
  const ago = (iso) =>
    el("span", {}, time(iso), el("span", { class: "meaning" }, `${span(nowMs - Date.parse(iso))} ago`));
  const left = Math.max(0, Date.parse(record.expiresAt) - nowMs);
  return el(
    "section",
    { "aria-labelledby": "known-title" },
    el("h2", { id: "known-title" }, "What is known"),
    facts([
      ["Route", record.route],
      ["Namespace", record.namespace],
      ["Status", record.status],
      ["Cause", record.cause],
      ["Attempts", count(record.attempts)],
      ["Created", ago(record.createdAt)],
      ["Changed", ago(record.updatedAt)],
      ["Kept until", el("span", {}, time(record.expiresAt), el("span", { class: "meaning" }, `${span(left)} left`))],
      ["Record id", el("code", { class: "long" }, record.id)],
      ["Fingerprint", el("code", { class: "long" }, record.fingerprint)],
    ]),
  );
}
