// The CPU table as a drawing: a bar for each row, user and system time apart, readable on light and on dark.
const [width, left, right, rowHeight, top] = [860, 190, 90, 26, 56];
const isOurs = (name) => /^(first|replay|herd|unprotected)/.test(name);

const style = `
  text { font: 13px system-ui, sans-serif; fill: #24292f }
  .title { font-weight: 600; font-size: 15px } .faint { fill: #57606a; font-size: 12px }
  .ours.user { fill: #0969da } .ours.system { fill: #80b3ec } .peer.user { fill: #6e7781 } .peer.system { fill: #b7bec6 }
  line { stroke: #d0d7de }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .faint { fill: #9198a1 } line { stroke: #3d444d }
    .ours.user { fill: #4493f8 } .ours.system { fill: #1f4f8f } .peer.user { fill: #9198a1 } .peer.system { fill: #545d68 }
  }`;

/** @param {{ at: string, machine: object, peers: object[] }} run @returns {string} an SVG document */
export function plot({ at, machine, peers }) {
  const scale = niceScale(Math.max(...peers.map((row) => row.cpuMicros)));
  const x = (micros) => left + (micros / scale.end) * (width - left - right);
  const bottom = top + peers.length * rowHeight;
  const grid = [];
  for (let micros = 0; micros <= scale.end; micros += scale.step) {
    grid.push(
      `<line x1="${x(micros).toFixed(1)}" x2="${x(micros).toFixed(1)}" y1="${top - 4}" y2="${bottom}"/>`,
      `<text class="faint" x="${x(micros).toFixed(1)}" y="${bottom + 18}" text-anchor="middle">${micros}</text>`,
    );
  }
  const bars = peers.flatMap((row, index) => {
    const y = top + index * rowHeight;
    const owner = isOurs(row.name) ? "ours" : "peer";
    const [middle, end] = [x(row.userMicros), x(row.cpuMicros)];
    return [
      `<text x="${left - 10}" y="${y + 17}" text-anchor="end">${row.name}</text>`,
      `<rect class="${owner} user" x="${left}" y="${y + 4}" width="${(middle - left).toFixed(1)}" height="${rowHeight - 8}"/>`,
      `<rect class="${owner} system" x="${middle.toFixed(1)}" y="${y + 4}" width="${(end - middle).toFixed(1)}" height="${rowHeight - 8}"/>`,
      `<text x="${(end + 8).toFixed(1)}" y="${y + 17}">${row.cpuMicros.toFixed(0)}</text>`,
    ];
  });
  const height = bottom + 34;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-label="CPU time of a request, by who answers it">
<style>${style}
</style>
<text class="title" x="12" y="22">CPU time of a request, µs</text>
<text class="faint" x="12" y="41">left part: user, right part: system; blue: the gateway, grey: others. ${at.slice(0, 10)}, ${machine.cores} cores, node ${machine.node}, load ${machine.load.join(" to ")}</text>
${[...grid, ...bars].join("\n")}
</svg>
`;
}

/** About five steps of 1, 2 or 5 times a power of ten. */
function niceScale(most) {
  const rough = most / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((one) => one >= rough);
  return { step, end: Math.ceil(most / step) * step };
}
