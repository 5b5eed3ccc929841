import { call } from "./api.js";
import { el, setText, svg, th, wide } from "./dom.js";
import { count, rate } from "./format.js";
import { repeat } from "./repeat.js";
import { results } from "./words.js";

const everyMs = 2_000;
/** Rates are those of the last seconds, so that they can be read while they change. */
const window = 5;
const chartSamples = 90;
const leastSteps = 15;

/** The figures on top, and the two tables: how requests end, and on which route. */
export function openLive({ figures, traffic }) {
  const total = figure("Requests per second", "rate", "over the last seconds");
  const inFlight = figure("In flight now", "in-flight", "an upstream works on them");
  const waiting = figure("Waiting now", "waiting", "for another one's result");
  const chart = openChart();
  total.box.append(chart.image);
  figures.append(total.box, inFlight.box, waiting.box);
  const byResult = openTable("How requests end", "Result", Object.keys(results));
  const byRoute = openTable("Traffic by route", "Route");
  const unseen = el("p", { class: "note" });
  byResult.section.append(unseen);
  traffic.append(byResult.section, byRoute.section);
  const samples = [];

  return repeat(async (signal) => {
    const { data } = await call("GET", "v1/live", { signal });
    const sample = { at: data.at, ...sumUp(data.routes) };
    // Asked sooner than it was counted again.
    if (samples.at(-1)?.at === sample.at) return;
    samples.push(sample);
    if (samples.length > chartSamples) samples.shift();
    const before = samples.at(-1 - window) ?? samples[0];
    total.set(samples.length > 1 ? rate(rateOf(sample.total, before.total, sample, before)) : "…");
    inFlight.set(count(sample.inFlight));
    waiting.set(count(sample.waiting));
    chart.draw(samples);
    const never = [];
    for (const [name, meaning] of Object.entries(results)) {
      const now = sample.results[name] ?? 0;
      if (now === 0 && !byResult.has(name)) never.push(name);
      else byResult.row(name, meaning).set(now, rateOf(now, before.results[name] ?? 0, sample, before));
    }
    setText(unseen, never.length === 0 ? "" : `None so far: ${never.join(", ")}.`);
    for (const [name, now] of Object.entries(sample.routes)) {
      byRoute.row(name).set(now, rateOf(now, before.routes[name] ?? 0, sample, before));
    }
  }, everyMs);
}

const noRoute = "(no route)";

function sumUp(routes) {
  const sum = { total: 0, inFlight: 0, waiting: 0, results: {}, routes: {} };
  for (const { route, inFlight, waiting, requests } of routes) {
    sum.inFlight += inFlight;
    sum.waiting += waiting;
    let ofRoute = 0;
    for (const [name, number] of Object.entries(requests)) {
      sum.results[name] = (sum.results[name] ?? 0) + number;
      ofRoute += number;
    }
    sum.routes[route ?? noRoute] = ofRoute;
    sum.total += ofRoute;
  }
  return sum;
}

/** A count that has become less was begun anew by a restart. */
function rateOf(now, then, sample, before) {
  const seconds = (Date.parse(sample.at) - Date.parse(before.at)) / 1000;
  return seconds > 0 ? Math.max(0, now - then) / seconds : 0;
}

function figure(label, name, meaning) {
  const number = el("span", { class: "number", "data-figure": name }, "…");
  return {
    box: el(
      "p",
      { class: `figure ${name}` },
      el("span", { class: "label" }, label),
      number,
      el("span", { class: "meaning" }, meaning),
    ),
    set: (text) => setText(number, text),
  };
}

function openTable(title, what, order = []) {
  const body = el("tbody");
  const head = el("tr", {}, th(what), th("per second", { class: "number" }), th("total", { class: "number" }));
  const rows = new Map();
  const id = `table-${what.toLowerCase()}`;
  return {
    section: el(
      "section",
      { "aria-labelledby": id },
      el("h2", { id }, title),
      wide(title, el("table", {}, el("thead", {}, head), body)),
    ),
    has: (name) => rows.has(name),
    row(name, meaning) {
      const known = rows.get(name);
      if (known !== undefined) return known;
      const now = el("td", { class: "number", "data-rate": name });
      const all = el("td", { class: "number", "data-count": name });
      const label = el(
        "th",
        { scope: "row" },
        el("span", {}, name),
        meaning === undefined ? null : el("span", { class: "meaning" }, meaning),
      );
      const row = el("tr", {}, label, now, all);
      // In the order they were named in, whichever is seen first.
      const next = order.slice(order.indexOf(name) + 1).find((later) => rows.has(later));
      body.insertBefore(row, next === undefined ? null : rows.get(next).row);
      const made = {
        row,
        set(number, perSecond) {
          setText(now, rate(perSecond));
          setText(all, count(number));
          row.classList.toggle("idle", perSecond === 0);
        },
      };
      rows.set(name, made);
      return made;
    },
  };
}

const [width, height] = [240, 44];

/** The last three minutes of all requests, as a shape; the numbers are beside it. */
function openChart() {
  const area = svg("path", { class: "area" });
  const line = svg("path", { class: "line" });
  const image = svg(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", class: "chart", "aria-hidden": "true" },
    area,
    line,
  );
  return {
    image,
    draw(samples) {
      const rates = samples.slice(1).map((sample, at) => rateOf(sample.total, samples[at].total, sample, samples[at]));
      if (rates.length < 2) return;
      const top = Math.max(1, ...rates);
      // It grows from the left for half a minute, and is pushed along from then on.
      const steps = Math.max(leastSteps, rates.length - 1);
      const x = (at) => (at * width) / steps;
      const points = rates.map(
        (value, at) => `${x(at).toFixed(1)},${(height - 2 - (value / top) * (height - 6)).toFixed(1)}`,
      );
      line.setAttribute("d", `M${points.join("L")}`);
      area.setAttribute(
        "d",
        `M${x(0).toFixed(1)},${height}L${points.join("L")}L${x(rates.length - 1).toFixed(1)},${height}Z`,
      );
    },
  };
}
