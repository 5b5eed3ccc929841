// A client as simple as they come: one connection for each request, no retries of its own.

import { request } from "node:http";

/** What came back, or `{ error }`. This client hangs up once `hangUp` resolves. */
export function pay(origin, { amount = 1250, key, path = "/payments", hangUp }) {
  const began = performance.now();
  return new Promise((resolve) => {
    const headers = { "content-type": "application/json", ...(key === undefined ? {} : { "idempotency-key": key }) };
    const sent = request(origin + path, { method: "POST", headers, agent: false });
    hangUp?.then(() => sent.destroy(new Error("hung up")));
    const end = (result) => resolve({ ms: Math.round(performance.now() - began), ...result });
    sent.once("error", (error) => end({ error: error.message }));
    sent.once("response", (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (part) => {
        text += part;
      });
      response.once("error", (error) => end({ error: error.message }));
      response.once("end", () => {
        const replayed = response.headers["idempotent-replayed"] === "true";
        end({ status: response.statusCode, text, replayed, code: codeOf(text) });
      });
    });
    sent.end(JSON.stringify({ amount, currency: "EUR" }));
  });
}

/** The code of a problem document. */
function codeOf(text) {
  try {
    return JSON.parse(text).code;
  } catch {
    return undefined;
  }
}
