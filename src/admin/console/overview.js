import { el, viewHeading } from "./dom.js";
import { openDoubts } from "./doubts.js";
import { openLive } from "./live.js";

/** How it goes now, and what waits for a decision. */
export function openOverview(at) {
  const pause = el("button", { type: "button", class: "quiet", "aria-pressed": "false" }, "Pause updates");
  const figures = el("div", { class: "figures" });
  const doubts = el("section", { "aria-labelledby": "doubts-title" });
  const traffic = el("div", { class: "columns" });
  at.append(el("div", { class: "title-row" }, viewHeading("Overview"), pause), figures, doubts, traffic);
  const live = openLive({ figures, traffic });
  const list = openDoubts({ at: doubts, figures });
  const parts = [live, list];
  let isPaused = false;
  pause.addEventListener("click", () => {
    isPaused = !isPaused;
    pause.setAttribute("aria-pressed", String(isPaused));
    for (const part of parts) part.setPaused(isPaused);
  });
  return () => {
    for (const part of parts) part.close();
  };
}
