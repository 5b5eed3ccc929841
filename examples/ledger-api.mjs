#!/usr/bin/env node
// A small payments API of the kind that cannot be changed. It knows nothing of idempotency keys: a POST is a payment.
//
//   POST /payments  {"amount": 1250, "currency": "EUR"}  →  201 and the payment with its new id
//   GET  /payments                                       →  200 and the whole ledger
//
// Two knobs stand in for what real networks do: `?delay=MS` pays, then answers late; `?cut=after` pays, then breaks
// the connection instead of answering.
//
// Run it with `node examples/ledger-api.mjs [PORT [HOST]]`; the port is 3000, or a free one for 0. It listens on 127.0.0.1
// unless told otherwise: in a container it is asked from outside (0.0.0.0).

import { createServer } from "node:http";

const ledger = [];

function pay({ amount, currency }) {
  if (!Number.isInteger(amount) || amount <= 0) throw new RangeError("amount is a whole number of cents above 0");
  if (!/^[A-Z]{3}$/.test(currency)) throw new RangeError("currency is three capital letters");
  const payment = { id: `pay_${ledger.length + 1}`, amount, currency, paidAt: new Date().toISOString() };
  ledger.push(payment);
  return payment;
}

function answer(response, status, value) {
  response.writeHead(status, { "content-type": "application/json" }).end(`${JSON.stringify(value)}\n`);
}

async function readText(request) {
  let text = "";
  for await (const part of request.setEncoding("utf8")) text += part;
  return text;
}

async function handle(request, response) {
  const { pathname, searchParams } = new URL(request.url, "http://ledger");
  if (pathname !== "/payments") return answer(response, 404, { message: "there is only /payments" });
  if (request.method === "GET") return answer(response, 200, ledger);
  if (request.method !== "POST") return answer(response, 405, { message: "GET or POST" });
  const payment = pay(JSON.parse(await readText(request)));
  if (searchParams.get("cut") === "after") return request.socket.destroy();
  await new Promise((resolve) => setTimeout(resolve, Number(searchParams.get("delay") ?? 0)));
  answer(response, 201, payment);
}

const server = createServer((request, response) => {
  handle(request, response).catch((error) => answer(response, 400, { message: error.message }));
});
const [port = 3000, host = "127.0.0.1"] = process.argv.slice(2);
server.listen(Number(port), host, () => {
  console.log(`ledger API on http://${host}:${server.address().port}`);
});
