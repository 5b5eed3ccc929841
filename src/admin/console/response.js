import { call } from "./api.js";
import { el, facts, th, wide } from "./dom.js";
import { bytes } from "./format.js";

/** What is drawn at once; the rest only when it is asked for. */
const shownAtMost = 100_000;

/** The stored response: somebody's data, so not fetched before somebody asks for it. */
export function responseSection(id) {
  const show = el("button", { type: "button" }, "Show the stored response");
  const place = el("div", { class: "stack" });
  show.addEventListener("click", async () => {
    try {
      const { data } = await call("GET", `v1/records/${id}?body=true`);
      const title = el("h3", { tabindex: "-1" }, "As it is replayed");
      place.replaceChildren(
        title,
        ...(data.response === null ? [el("p", {}, "There is none any more.")] : partsOf(data.response)),
      );
      show.hidden = true;
      title.focus();
    } catch (error) {
      place.replaceChildren(el("p", { class: "trouble", role: "alert" }, error.message));
    }
  });
  return el(
    "section",
    { "aria-labelledby": "response-title" },
    el("h2", { id: "response-title" }, "Stored response"),
    el("p", { class: "hint" }, "It may hold personal data. It is fetched and shown only when you ask for it."),
    show,
    place,
  );
}

function partsOf({ status, reason, headers, body, bodyEncoding }) {
  const rows = headers.map(([name, value]) =>
    el("tr", {}, el("th", { scope: "row" }, name), el("td", { class: "value" }, value)),
  );
  const size = bodyEncoding === "base64" ? atob(body).length : new TextEncoder().encode(body).length;
  return [
    facts([
      ["Status", `${status} ${reason}`],
      [
        "Body",
        size === 0 ? "empty" : `${bytes(size)}${bodyEncoding === "base64" ? ", not text: shown as base64" : ""}`,
      ],
    ]),
    wide(
      "Headers",
      el(
        "table",
        { class: "headers" },
        el("caption", {}, "Headers, in their order"),
        el("thead", {}, el("tr", {}, th("Name"), th("Value"))),
        el("tbody", {}, ...rows),
      ),
    ),
    ...(size === 0 ? [] : bodyParts(body)),
  ];
}

function bodyParts(body) {
  const text = el("pre", { tabindex: "0", role: "region", "aria-label": "Body" }, body.slice(0, shownAtMost));
  if (body.length <= shownAtMost) return [text];
  const rest = el("button", { type: "button" }, "Show all of it");
  rest.addEventListener("click", () => {
    text.textContent = body;
    rest.remove();
    text.focus();
  });
  return [text, rest];
}
