// The page's frame: who may look, which view is open, whether the gateway is well.
import { call, token, whenRefused } from "./api.js";
import { el, setText, viewHeading } from "./dom.js";
import { openFind } from "./find.js";
import { tell } from "./news.js";
import { openOverview } from "./overview.js";
import { openRecord } from "./record.js";
import { openRoutes } from "./routes.js";
import { openSignIn } from "./sign-in.js";

const healthMs = 5_000;
const byId = (id) => document.getElementById(id);
const main = byId("main");

/** What the open view wants done when it is left. */
let close = () => {};
let isIn = false;
let lastAddress = null;

function viewFor(address) {
  const record = /^#\/records\/([\da-f]{64})$/.exec(address)?.[1];
  if (record !== undefined) return { title: `Record ${record.slice(0, 8)}`, open: (at) => openRecord(at, record) };
  if (address === "#/find") return { title: "Find", open: openFind };
  if (address === "#/routes") return { title: "Routes", open: openRoutes };
  return { title: "Overview", open: openOverview };
}

function show({ title, open }) {
  close();
  const view = el("div", { class: "view" });
  main.replaceChildren(view);
  close = open(view) ?? (() => {});
  document.title = `${title} · idempotency-gateway · ${location.host}`;
  // The focus goes where the new content begins, or a keyboard and a screen reader stay behind.
  view.querySelector("h1")?.focus({ preventScroll: true });
  scrollTo(0, 0);
}

function navigate() {
  if (!isIn || location.hash === "#main") return;
  // What was said belongs to the view it was said in.
  if (lastAddress !== null && lastAddress !== location.hash) tell("");
  lastAddress = location.hash;
  const section = /^#\/(\w*)/.exec(location.hash)?.[1] ?? "";
  for (const link of byId("nav").children) {
    const own = link.getAttribute("href").slice(2);
    const isHere = own === section || (own === "find" && section === "records");
    if (isHere) link.setAttribute("aria-current", own === section ? "page" : "true");
    else link.removeAttribute("aria-current");
  }
  show(viewFor(location.hash));
}

function enter() {
  isIn = true;
  byId("nav").hidden = false;
  byId("leave").hidden = token.get() === null;
  navigate();
}

function signOut(message) {
  isIn = false;
  byId("nav").hidden = true;
  byId("leave").hidden = true;
  tell("");
  show({ title: "Sign in", open: (at) => openSignIn(at, { message, onEntered: enter }) });
}

function showTrouble(error) {
  const again = el("button", { type: "button", onclick: () => void begin() }, "Try again");
  show({
    title: "Trouble",
    open: (at) =>
      void at.append(
        el("section", { class: "narrow" }, viewHeading("This console cannot start"), el("p", {}, error.message), again),
      ),
  });
}

async function begin() {
  try {
    await call("GET", "v1/routes");
    enter();
  } catch (error) {
    // A refusal has opened the sign-in already.
    if (error.status !== 401) showTrouble(error);
  }
}

async function watchHealth() {
  const health = byId("health");
  if (!document.hidden) {
    const { state, tone } = await readHealth();
    health.hidden = false;
    health.className = `health ${tone}`;
    setText(health, state);
  }
  setTimeout(watchHealth, healthMs);
}

async function readHealth() {
  try {
    // It answers 503 with the same body; that is no trouble of this page.
    const response = await fetch(new URL("readyz", document.baseURI), { cache: "no-store", redirect: "error" });
    const { state, checks } = await response.json();
    const isWell = state === "ready" && checks.store === "up";
    return { state: `${state}, store ${checks.store}`, tone: isWell ? "good" : "bad" };
  } catch {
    return { state: "gateway not reached", tone: "bad" };
  }
}

whenRefused(() => {
  if (token.get() === null) return signOut("");
  token.forget();
  signOut("The admin port does not accept this token.");
});
byId("leave").addEventListener("click", () => {
  token.forget();
  signOut("The token is forgotten.");
});
byId("skip").addEventListener("click", (event) => {
  // The address says which view is open; it must not change.
  event.preventDefault();
  main.focus();
});
addEventListener("hashchange", navigate);
void begin();
void watchHealth();
