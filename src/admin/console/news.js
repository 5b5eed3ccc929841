import { setText } from "./dom.js";

/** One sentence that is read out and seen: the outcome of what somebody did, or a change that wants a look. */
export function tell(text) {
  setText(document.getElementById("news"), text);
}
