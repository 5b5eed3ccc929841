import { call, token } from "./api.js";
import { el, field, viewHeading } from "./dom.js";

/** Asks for the token, and tries it before it is believed. */
export function openSignIn(at, { message, onEntered }) {
  const input = el("input", {
    type: "password",
    name: "token",
    autocomplete: "off",
    spellcheck: "false",
    required: true,
  });
  const trouble = el("p", { class: "trouble", role: "alert" }, message);
  const enter = async (event) => {
    event.preventDefault();
    token.set(input.value.trim());
    try {
      await call("GET", "v1/routes");
      onEntered();
    } catch (error) {
      // A wrong token has opened this view anew, with its message.
      if (error.status === 401) return;
      token.forget();
      trouble.textContent = error.message;
    }
  };
  at.append(
    el(
      "section",
      { class: "narrow" },
      viewHeading("Sign in"),
      el(
        "p",
        {},
        "This port shows stored responses and decides about records. It asks for the token that is set as ",
        el("code", {}, "admin.token"),
        ".",
      ),
      trouble,
      el(
        "form",
        { onsubmit: enter },
        field("Admin token", input, "Kept in this tab until it is closed. It is sent to this port only."),
        el("button", { type: "submit", class: "strong" }, "Sign in"),
      ),
    ),
  );
}
