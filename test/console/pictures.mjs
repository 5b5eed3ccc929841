/** The screenshots of the documentation, of a gateway with a little traffic and a little trouble. */
import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { startGateway } from "./rig.mjs";

const folder = fileURLToPath(new URL("../../docs/images/", import.meta.url));
/** Long enough for rates and the chart to have a shape. */
const trafficMs = 40_000;

export async function takePictures(browser) {
  mkdirSync(folder, { recursive: true });
  const gateway = await startGateway({ routes });
  let isOver = false;
  const traffic = keepBusy(gateway, () => isOver);
  try {
    await gateway.send("order-4711", "reset");
    await gateway.send("order-4711");
    await gateway.send("refund-17", "status 504", "/v1/refunds");
    await gateway.send("order-4712");
    await gateway.send("order-4712");
    const sizes = { wide: { width: 1180, height: 860 }, phone: { width: 390, height: 844 } };
    const light = await browser.open(gateway.admin, { size: sizes.wide });
    const dark = await browser.open(gateway.admin, { size: sizes.wide, scheme: "dark" });
    const phone = await browser.open(gateway.admin, { size: sizes.phone });
    await light.waitForTimeout(trafficMs);
    // Something to see in flight, and waiting, at the very moment.
    const hanging = [gateway.send("order-4713", "hang"), gateway.send("order-4713", "hang")];
    await light.locator('[data-figure="waiting"]').filter({ hasText: "1" }).waitFor();
    await dark.locator('[data-figure="waiting"]').filter({ hasText: "1" }).waitFor();
    await light.screenshot({ path: `${folder}console-overview.png` });
    await dark.screenshot({ path: `${folder}console-overview-dark.png` });
    await phone.screenshot({ path: `${folder}console-phone.png` });
    await Promise.all(hanging);
    const { id } = await gateway.recordOf("order-4711");
    await light.goto(`${gateway.admin}#/records/${id}`);
    await light.locator(".timeline").waitFor();
    await light.screenshot({ path: `${folder}console-record.png` });
    await light.getByRole("button", { name: "Resolve…" }).click();
    await light.getByRole("radio", { name: "It happened" }).check();
    await light.getByRole("textbox", { name: "Body" }).fill('{"id": 4711, "status": "paid"}');
    await light.getByRole("textbox", { name: "Reason" }).fill("OPS-204: found in the ledger of the payment API");
    await light.screenshot({ path: `${folder}console-resolve.png` });
  } finally {
    isOver = true;
    await traffic;
    await browser.closePages();
    await gateway.stop();
  }
  process.stdout.write(`written to ${folder}\n`);
}

function routes(url) {
  const upstream = { url, timeout: "8s" };
  return [
    { name: "create-payment", match: { path: "/v1/payments" }, upstream, idempotency: {} },
    { name: "refund", match: { path: "/v1/refunds" }, upstream, idempotency: {} },
    { name: "everything-else", match: { path: "/*" }, upstream },
  ];
}

async function keepBusy(gateway, isOver) {
  for (let n = 0; !isOver(); n++) {
    const requests = [gateway.send(`payment-${n}`), fetch(`${gateway.traffic}/v1/accounts/${n}`).then((r) => r.text())];
    if (n % 3 === 0) requests.push(gateway.send(`payment-${n}`), gateway.send(`refund-${n}`, "", "/v1/refunds"));
    await Promise.all(requests);
    await new Promise((resolve) => setTimeout(resolve, 60 + 50 * Math.sin(n / 25)));
  }
}
