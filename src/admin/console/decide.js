// What an operator may decide about a record. Every decision needs a reason, and is made on the record as it was seen:
// should it have changed meanwhile, the gateway refuses, and the operator looks again.
import { call } from "./api.js";
import { el, field } from "./dom.js";
import { span } from "./format.js";
import { states } from "./words.js";

const maxReasonLength = 500;

/** `seen`: the record, and the ETag it was read with. `onDecided` is told in one sentence what was done. */
export function askResolve(seen, onDecided, onStale) {
  const happened = choice("done", "It happened", "Give the response that every retry gets from now on.");
  const missed = choice("not-done", "It did not happen, and never will", "The next request with the key is sent on.");
  const status = el("input", { type: "number", min: "200", max: "599", value: "201", inputmode: "numeric" });
  const headers = el("textarea", { rows: "2", spellcheck: "false" }, "Content-Type: application/json");
  const body = el("textarea", { rows: "3", spellcheck: "false" });
  const response = el(
    "div",
    { class: "response" },
    field("Status", status),
    field("Headers, one a line", headers),
    field("Body", body, "As it is, in UTF-8."),
  );
  const outcome = () => (happened.input.checked ? "done" : missed.input.checked ? "not-done" : null);
  const setOutcome = () => {
    response.hidden = outcome() !== "done";
  };
  for (const { input } of [happened, missed]) input.addEventListener("change", setOutcome);
  setOutcome();
  ask({
    seen,
    onDecided,
    onStale,
    title: "Resolve this record",
    lead: "Look at the API first. What you say here is what its clients are told.",
    button: "Resolve",
    tone: "strong",
    parts: [el("fieldset", {}, el("legend", {}, "What became of the request?"), happened.line, missed.line), response],
    send: async (reason) => {
      const chosen = outcome();
      if (chosen === null) throw new Error("Say whether it happened.");
      const given = { status: Number(status.value), headers: readHeaders(headers.value), body: body.value };
      await call("POST", `v1/records/${seen.id}/resolve`, {
        ifMatch: seen.etag,
        body: chosen === "done" ? { outcome: chosen, response: given, reason } : { outcome: chosen, reason },
      });
      return chosen === "done"
        ? "Resolved: it happened. Retries get the response you gave."
        : "Resolved: it did not happen. The next retry runs.";
    },
  });
}

export function askDelete(seen, onDecided, onStale) {
  ask({
    seen,
    onDecided,
    onStale,
    title: "Delete this record",
    lead: "The next request with its key is sent on as if there had been none: what was carried out may be carried out again.",
    button: "Delete the record",
    tone: "danger",
    parts: [],
    send: async (reason) => {
      await call("DELETE", `v1/records/${seen.id}`, { ifMatch: seen.etag, body: { reason } });
      return "The record is deleted.";
    },
  });
}

function choice(value, text, hint) {
  const id = `outcome-${value}`;
  const input = el("input", { type: "radio", name: "outcome", value, id, "aria-describedby": `${id}-hint` });
  const line = el(
    "p",
    { class: "check" },
    input,
    el("label", { for: id }, text),
    el("span", { class: "hint", id: `${id}-hint` }, hint),
  );
  return { input, line };
}

/** A dialog with a reason. The browser keeps the focus in it, closes it by Escape, and gives the focus back. */
function ask({ seen, title, lead, parts, button, tone, send, onDecided, onStale }) {
  const { record } = seen;
  const reason = el("input", { type: "text", maxlength: String(maxReasonLength), required: true, autocomplete: "off" });
  const trouble = el("p", { class: "trouble", role: "alert" });
  const submit = el("button", { type: "submit", class: tone }, button);
  const cancel = el("button", { type: "button", onclick: () => dialog.close() }, "Cancel");
  const lookAgain = () => {
    dialog.close();
    onStale();
  };
  const again = el("button", { type: "button", hidden: true, onclick: lookAgain }, "Look at the record again");
  const since = span(Date.now() - Date.parse(record.updatedAt));
  const form = el(
    "form",
    { method: "dialog", class: "stack" },
    el("h2", { id: "dialog-title" }, title),
    el("p", {}, lead),
    el(
      "p",
      { class: "as-seen" },
      `You see it ${states[record.state] ?? record.state} for ${since}, after ${record.attempts === 1 ? "1 attempt" : `${record.attempts} attempts`}. Should it have changed since, nothing is written.`,
    ),
    ...parts,
    field("Reason", reason, "For the audit log: a ticket, who was asked, what was found. No personal data."),
    trouble,
    el("div", { class: "actions" }, cancel, again, submit),
  );
  const dialog = el("dialog", { "aria-labelledby": "dialog-title" }, form);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    submit.disabled = true;
    trouble.textContent = "";
    try {
      const text = await send(reason.value.trim());
      dialog.close();
      await onDecided(text);
    } catch (error) {
      trouble.textContent = error.message;
      const isStale = error.status === 412 || error.status === 409 || error.status === 404;
      again.hidden = !isStale;
      submit.hidden = isStale;
      if (isStale) again.focus();
      submit.disabled = false;
    }
  });
  dialog.addEventListener("close", () => {
    dialog.remove();
    // Whoever opened it may be gone by now.
    if (document.activeElement === document.body) document.querySelector("h1")?.focus();
  });
  document.body.append(dialog);
  dialog.showModal();
}

function readHeaders(text) {
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  return lines.map((line) => {
    const colon = line.indexOf(":");
    if (colon < 1) throw new Error(`“${line}” is not a header: write Name: value.`);
    return [line.slice(0, colon).trim(), line.slice(colon + 1).trim()];
  });
}
