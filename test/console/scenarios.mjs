import assert from "node:assert/strict";
import { faintTexts, focus, overhang, unnamed } from "./inspect.mjs";
import { startGateway, until } from "./rig.mjs";

const json = { "content-type": "application/json" };
/** Each is a valid idempotency key, too. */
const evilKeys = ["<script>window.ran=3</script>", "<img/src=x/onerror=window.ran=4>", '"><svg/onload=window.ran=5>'];

const button = (page, name) => page.getByRole("button", { name, exact: true });
const hasRun = (page) => page.evaluate(() => window.ran);

async function openRecord(page, admin, id) {
  await page.goto(`${admin}#/records/${id}`);
  await page.getByRole("heading", { level: 1, name: `Record ${id.slice(0, 8)}` }).waitFor();
  await page.locator(".timeline").waitFor();
}

async function search(page, text) {
  await page.getByRole("link", { name: "Find", exact: true }).click();
  await page.getByRole("searchbox").fill(text);
  await page.keyboard.press("Enter");
}

/** In doubt: it reached the API, which cut the connection. */
async function doubt(gateway, key) {
  assert.equal((await gateway.send(key, "reset")).status, 502);
  const record = await gateway.recordOf(key);
  assert.equal(record.state, "in_doubt");
  return record;
}

async function resolveDialog(page, outcome, reason) {
  await button(page, "Resolve…").click();
  await page.getByRole("radio", { name: outcome }).check();
  await page.getByRole("textbox", { name: "Reason" }).fill(reason);
}

/** Shared by all: one gateway without a token, and one browser. Each is told in a sentence. */
export const scenarios = {
  "the page is the same for everybody, strict, and without data": async ({ gateway }) => {
    await gateway.send("in-nobodys-page");
    const { id } = await gateway.recordOf("in-nobodys-page");
    const answer = await fetch(gateway.admin, { headers: { accept: "text/html" } });
    assert.equal(answer.status, 200);
    const text = await answer.text();
    for (const secret of ["create-payment", id, id.slice(0, 8), "in-nobodys-page"]) assert.ok(!text.includes(secret));
    assert.doesNotMatch(text, /<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=|https?:/i);
    assert.match(
      answer.headers.get("content-security-policy"),
      /default-src 'none'; script-src 'self'; style-src 'self'/,
    );
  },

  "requests are counted while one looks": async ({ gateway, browser }) => {
    const page = await browser.open(gateway.admin);
    const replayed = page.locator('[data-count="executed"]');
    const before = Number(await replayed.textContent());
    for (let n = 0; n < 7; n++) await gateway.send(`counted-${n}`);
    await until("seven more", async () => Number(await replayed.textContent()) === before + 7);
    await until("a rate", async () => (await page.locator('[data-figure="rate"]').textContent()) !== "0");
    await button(page, "Pause updates").click();
    await page.waitForTimeout(2_500);
    const paused = await replayed.textContent();
    await gateway.send("while-paused");
    await page.waitForTimeout(2_500);
    assert.equal(await replayed.textContent(), paused, "nothing moves while it is paused");
    await button(page, "Pause updates").click();
    await until("it goes on", async () => Number(await replayed.textContent()) === before + 8);
  },

  "a request in flight, and one that waits for it, are seen while they last": async ({ gateway, browser }) => {
    const page = await browser.open(gateway.admin);
    const figures = {
      flying: page.locator('[data-figure="in-flight"]'),
      waiting: page.locator('[data-figure="waiting"]'),
    };
    const requests = [];
    await until("both are shown", async () => {
      requests.push(gateway.send(`hangs-${requests.length >> 1}`, "hang"));
      return Number(await figures.flying.textContent()) > 0 && Number(await figures.waiting.textContent()) > 0;
    });
    await Promise.all(requests);
  },

  "keys, bodies and headers made of markup are shown as text, and nothing in them runs": async ({
    gateway,
    browser,
  }) => {
    const page = await browser.open(gateway.admin);
    for (const key of evilKeys) {
      await search(page, key);
      await page.getByText("No record has this key or id.").waitFor();
      await gateway.send(key);
      await button(page, "Find").click();
      await page.getByText("1 record.").waitFor();
      await page.locator("table a.id").click();
      await button(page, "Show the stored response").click();
      const body = page.getByRole("region", { name: "Body" });
      assert.match(await body.textContent(), /<script>window\.ran = 1<\/script>/);
      await page.getByText("<b onmouseover=alert(2)>").hover();
      assert.equal(await hasRun(page), undefined);
      assert.equal(await page.locator("main script, main img, main b, main svg").count(), 0);
    }
  },

  "a response is fetched only when somebody asks for it": async ({ gateway, browser }) => {
    await gateway.send("private");
    const page = await browser.open(gateway.admin);
    const asked = [];
    page.on("request", (request) => asked.push(request.url()));
    await openRecord(page, gateway.admin, (await gateway.recordOf("private")).id);
    assert.ok(!asked.some((url) => url.includes("body=true")));
    assert.ok(!(await page.content()).includes("window.ran = 1"));
    await button(page, "Show the stored response").click();
    await page.getByRole("heading", { name: "As it is replayed" }).waitFor();
    assert.ok(asked.some((url) => url.includes("body=true")));
  },

  "the timeline tells what the store knows and every replay that was seen": async ({ gateway, browser }) => {
    for (let n = 0; n < 3; n++) await gateway.send("told");
    const page = await browser.open(gateway.admin);
    await openRecord(page, gateway.admin, (await gateway.recordOf("told")).id);
    const titles = await page.locator(".timeline strong").allTextContents();
    assert.deepEqual(titles.sort(), [
      "Answered: 201",
      "Claimed",
      "Dispatched",
      "Replayed: 201",
      "Replayed: 201",
      "Stored: 201",
    ]);
    await page.getByText("kept in memory only").waitFor();
  },

  "records in doubt are listed with age and cause, the oldest first": async ({ gateway, browser }) => {
    const first = await doubt(gateway, "doubt-first");
    const second = await doubt(gateway, "doubt-second");
    const page = await browser.open(gateway.admin);
    const table = page.getByRole("region", { name: "Records in doubt" });
    await table.getByRole("link", { name: second.id.slice(0, 8) }).waitFor();
    const ids = (await table.locator("a.id").allTextContents()).map((text) => text.slice(0, 8));
    assert.ok(ids.indexOf(first.id.slice(0, 8)) < ids.indexOf(second.id.slice(0, 8)));
    await table.getByText("the connection broke after the request was sent").first().waitFor();
  },

  "a record in doubt is resolved as done, and its client gets that response": async ({ gateway, browser }) => {
    const { id } = await doubt(gateway, "settle-me");
    const page = await browser.open(gateway.admin);
    await openRecord(page, gateway.admin, id);
    await resolveDialog(page, "It happened", "TICKET-1 <b>asked the API</b>");
    await page.getByRole("spinbutton", { name: "Status" }).fill("200");
    await page.getByRole("textbox", { name: "Headers, one a line" }).fill("Content-Type: text/plain\nX-By: hand");
    await page.getByRole("textbox", { name: "Body" }).fill("grüße <paid>");
    await button(page, "Resolve").click();
    await page.getByText("Resolved: it happened.").waitFor();
    await page.getByText("by local: “TICKET-1 <b>asked the API</b>”").waitFor();
    assert.equal(await page.locator("dialog").count(), 0);
    const retry = await gateway.send("settle-me", "reset");
    assert.equal(retry.status, 200);
    assert.equal(retry.body, "grüße <paid>");
    assert.equal(retry.headers.get("x-by"), "hand");
    assert.equal(retry.headers.get("idempotent-replayed"), "true");
    await until("it is logged", () => gateway.audits().some(({ key }) => key === id.slice(0, 8)));
    const line = gateway.audits().find(({ key }) => key === id.slice(0, 8));
    assert.equal(line.reason, "TICKET-1 <b>asked the API</b>");
    assert.deepEqual([line.who, line.action, line.result], ["local", "resolve done", "resolved"]);
  },

  "a decision needs a reason, and can be left": async ({ gateway, browser }) => {
    const { id } = await doubt(gateway, "undecided");
    const page = await browser.open(gateway.admin);
    await openRecord(page, gateway.admin, id);
    await resolveDialog(page, "It did not happen", "");
    await button(page, "Resolve").click();
    assert.equal(await page.locator("dialog[open]").count(), 1, "the browser asks for the reason");
    await page.keyboard.press("Escape");
    await page.locator("dialog").waitFor({ state: "detached" });
    assert.equal((await page.evaluate(focus)).text, "Resolve…", "the focus is back where it was");
    assert.equal((await gateway.recordOf("undecided")).state, "in_doubt");
  },

  "a decision on a record that has moved on is refused, and nothing is written": async ({ gateway, browser }) => {
    const { id } = await doubt(gateway, "moved");
    const page = await browser.open(gateway.admin);
    await openRecord(page, gateway.admin, id);
    await resolveDialog(page, "It did not happen", "I was first");
    const other = { outcome: "done", response: { status: 202, body: "by another operator" } };
    await gateway.api(`v1/records/${id}/resolve`, { method: "POST", headers: json, body: JSON.stringify(other) });
    await button(page, "Resolve").click();
    await page.getByRole("alert").getByText("has changed since it was looked at").waitFor();
    const again = button(page, "Look at the record again");
    assert.equal((await page.evaluate(focus)).text, "Look at the record again");
    await again.click();
    await page.locator(".summary").getByText("completed").waitFor();
    assert.equal((await gateway.send("moved", "reset")).body, "by another operator");
  },

  "a record is deleted with a reason, and what was seen of it stays visible": async ({ gateway, browser }) => {
    await gateway.send("delete-me");
    const { id } = await gateway.recordOf("delete-me");
    const page = await browser.open(gateway.admin);
    await openRecord(page, gateway.admin, id);
    await button(page, "Delete…").click();
    await page.getByRole("textbox", { name: "Reason" }).fill("test data");
    await button(page, "Delete the record").click();
    await page.getByText("The record is deleted.").waitFor();
    await page.getByText("There is no record with this id").waitFor();
    await page.getByText("by local: “test data”").waitFor();
    assert.equal(await gateway.recordOf("delete-me"), undefined);
    const line = gateway.audits().find(({ key }) => key === id.slice(0, 8));
    assert.deepEqual([line.action, line.reason], ["delete", "test data"]);
  },

  "the policy of each route is shown": async ({ gateway, browser }) => {
    const page = await browser.open(gateway.admin);
    await page.getByRole("link", { name: "Routes", exact: true }).click();
    const card = page.getByRole("article").filter({ has: page.getByRole("heading", { name: "create-payment" }) });
    await card.getByText("header:Idempotency-Key").waitFor();
    await card.getByText("hold: held until it is resolved").waitFor();
    await page.getByText("Not protected: streamed through untouched.").waitFor();
  },

  "everything can be done by keyboard alone": async ({ gateway, browser }) => {
    await doubt(gateway, "by-hand");
    const page = await browser.open(gateway.admin);
    const press = (key) => page.keyboard.press(key);
    /** On to the control of this name, and not past it; everything on the way can be seen to have the focus. */
    const tabTo = async (text) => {
      for (let n = 0; n < 60; n++) {
        await press("Tab");
        const at = await page.evaluate(focus);
        assert.ok(at.isRinged || at.tag === "BODY", `the focus on ${at.tag} "${at.text}" is seen`);
        if (at.text === text) return;
      }
      assert.fail(`"${text}" is not reached`);
    };
    await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
    await page.evaluate(() => document.activeElement.blur());
    await tabTo("Skip to the content");
    await press("Enter");
    assert.equal((await page.evaluate(focus)).tag, "MAIN");
    await page.evaluate(() => document.querySelector("#nav a").focus());
    await tabTo("Find");
    await press("Enter");
    await page.getByRole("heading", { level: 1, name: "Find a record" }).waitFor();
    assert.equal((await page.evaluate(focus)).tag, "H1", "the new view begins where the focus is");
    await tabTo("key");
    await page.keyboard.type("by-hand");
    await press("Enter");
    await page.getByText("1 record.").waitFor();
    await tabTo(`${(await gateway.recordOf("by-hand")).id.slice(0, 8)}…`);
    await press("Enter");
    await page.locator(".timeline").waitFor();
    await tabTo("Resolve…");
    await press("Enter");
    assert.equal((await page.evaluate(focus)).tag, "INPUT", "the focus is in the dialog");
    await press("Space");
    await press("ArrowDown");
    await press("Tab");
    await page.keyboard.type("by keyboard");
    await press("Enter");
    await page.getByText("Resolved: it did not happen.").waitFor();
    assert.equal((await page.evaluate(focus)).tag, "H1", "the focus is not lost with the dialog");
    assert.equal(await gateway.recordOf("by-hand"), undefined);
  },

  "light and dark differ, and every text can be read in both": async ({ gateway, browser }) => {
    const { id } = await doubt(gateway, "seen-in-the-dark");
    await gateway.send("seen-in-the-dark-too");
    const done = await gateway.recordOf("seen-in-the-dark-too");
    const grounds = [];
    for (const scheme of ["light", "dark"]) {
      const page = await browser.open(gateway.admin, { scheme });
      grounds.push(await page.evaluate(() => getComputedStyle(document.body).backgroundColor));
      await page.getByRole("region", { name: "Records in doubt" }).waitFor();
      assert.deepEqual(await page.evaluate(faintTexts), [], scheme);
      await openRecord(page, gateway.admin, id);
      assert.deepEqual(await page.evaluate(faintTexts), [], scheme);
      await button(page, "Delete…").click();
      assert.deepEqual(await page.evaluate(faintTexts), [], scheme);
      await button(page, "Cancel").click();
      await openRecord(page, gateway.admin, done.id);
      assert.deepEqual(await page.evaluate(faintTexts), [], scheme);
      for (const view of ["find", "routes"]) {
        await page.goto(`${gateway.admin}#/${view}`);
        await page.getByRole("heading", { level: 1 }).waitFor();
        assert.deepEqual(await page.evaluate(faintTexts), [], `${scheme} ${view}`);
      }
    }
    assert.notEqual(grounds[0], grounds[1]);
  },

  "everything has a name and a place for a screen reader, and fits on a phone": async ({ gateway, browser }) => {
    const { id } = await doubt(gateway, "on-a-phone");
    const page = await browser.open(gateway.admin, { size: { width: 360, height: 740 } });
    for (const view of ["", "find", "routes", `records/${id}`]) {
      await page.goto(`${gateway.admin}#/${view}`);
      await page.locator("main section, main form, main article").first().waitFor();
      await page.waitForTimeout(300);
      assert.deepEqual(await page.evaluate(unnamed), [], view);
      assert.equal(await page.evaluate(overhang), 0, `#/${view} is not wider than the phone`);
    }
    await button(page, "Resolve…").click();
    await page.getByRole("radio", { name: "It happened" }).check();
    assert.deepEqual(await page.evaluate(unnamed), []);
    assert.equal(await page.evaluate(overhang), 0);
  },

  "the page's policy stops what a mistake of ours would let in": async ({ gateway, browser }) => {
    const { page } = await browser.openUnwatched(gateway.admin);
    const refused = await page.evaluate(() => {
      const script = document.createElement("script");
      try {
        document.body.innerHTML = "<img src=x onerror='window.ran = 6'>";
        return false;
      } catch {
        try {
          script.text = "window.ran = 7";
          document.head.append(script);
        } catch {
          return true;
        }
        return window.ran === undefined;
      }
    });
    assert.ok(refused);
    assert.equal(await hasRun(page), undefined);
  },

  "a page of another site can neither read nor write here": async ({ gateway, browser }) => {
    await gateway.send("not-for-others");
    const { id } = await gateway.recordOf("not-for-others");
    const port = new URL(gateway.admin).port;
    const rebound = await browser.openUnwatched(`http://evil.test:${port}/`);
    assert.equal(rebound.response.status(), 403, "a name that leads here is not ours");
    const { page } = await browser.openUnwatched(`${gateway.traffic}/page-of-another-origin`);
    const outcomes = await page.evaluate(
      async ({ admin, id }) => {
        const attempt = (path, init) =>
          fetch(admin + path, init).then(
            (answer) => answer.text(),
            () => "refused",
          );
        return [
          await attempt("v1/records"),
          await attempt(`v1/records/${id}`, { method: "DELETE" }),
          await attempt(`v1/records/${id}/resolve`, { method: "POST", body: '{"outcome":"not-done"}' }),
          await attempt(`v1/records/${id}/resolve`, {
            method: "POST",
            headers: { "content-type": "application/json" },
            body: '{"outcome":"not-done"}',
          }),
        ];
      },
      { admin: gateway.admin, id },
    );
    assert.deepEqual(outcomes, ["refused", "refused", "refused", "refused"]);
    assert.equal((await gateway.recordOf("not-for-others")).state, "completed");
  },

  "with a token set, the page asks for it and keeps it in its tab": async ({ browser }) => {
    const token = "correct-horse-<battery>";
    const gateway = await startGateway({ admin: { token } });
    try {
      const page = await browser.open(gateway.admin);
      await page.getByRole("heading", { level: 1, name: "Sign in" }).waitFor();
      assert.equal(await page.getByRole("navigation").count(), 0);
      for (const wrong of ["wrong", "wörng…"]) {
        await page.getByLabel("Admin token").fill(wrong);
        await button(page, "Sign in").click();
        await page.getByRole("alert").filter({ hasText: /./ }).waitFor();
        assert.equal(await page.evaluate(() => sessionStorage.length), 0, "what is wrong is not kept");
      }
      await page.getByLabel("Admin token").fill(token);
      await page.keyboard.press("Enter");
      await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
      const kept = await page.evaluate(() => [
        localStorage.length,
        document.cookie,
        sessionStorage.length,
        location.href,
      ]);
      assert.deepEqual(kept, [0, "", 1, gateway.admin]);
      assert.ok(!(await page.content()).includes("horse"));
      await page.reload();
      await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
      await button(page, "Forget the token").click();
      await page.getByRole("heading", { level: 1, name: "Sign in" }).waitFor();
      assert.equal(await page.evaluate(() => sessionStorage.length), 0);
    } finally {
      await browser.closePages();
      await gateway.stop();
    }
  },

  "with several workers, the timeline has what each of them saw": async ({ browser }) => {
    const gateway = await startGateway({ server: { workers: 2 } });
    try {
      for (let n = 0; n < 9; n++) {
        const response = await fetch(`${gateway.traffic}/v1/payments`, {
          method: "POST",
          // A connection each: they are dealt out to the workers in turn.
          headers: { "idempotency-key": "by-many", connection: "close" },
        });
        await response.text();
      }
      const page = await browser.open(gateway.admin);
      await openRecord(page, gateway.admin, (await gateway.recordOf("by-many")).id);
      assert.equal(await page.locator(".timeline strong", { hasText: "Replayed: 201" }).count(), 8);
      await page.getByText("the 3 processes of this gateway have seen").waitFor();
      await page.goto(`${gateway.admin}#/`);
      await until("all are counted", async () => (await page.locator('[data-count="replayed"]').textContent()) === "8");
    } finally {
      await browser.closePages();
      await gateway.stop();
    }
  },
};
