// What the demo prints: numbered scenes, rows of three columns, one line of why below each.

const isPlain = !process.stdout.isTTY || Boolean(process.env.NO_COLOR) || process.env.TERM === "dumb";
const width = Math.min(100, Math.max(80, process.stdout.columns ?? 96));
const rowsWidth = 8;
const backWidth = Math.floor((width - rowsWidth - 6) * 0.45);
const sentWidth = width - rowsWidth - backWidth - 6;

const style = (open, close) => (text) => (isPlain ? text : `\x1b[${open}m${text}\x1b[${close}m`);
const bold = style(1, 22);
const dim = style(2, 22);
const green = style(32, 39);
const red = style(31, 39);
const cyan = style(36, 39);

const print = (line = "") => console.log(line.trimEnd());

/** Breaks at spaces; a word longer than the line stays whole. */
function wrap(text, columns) {
  const lines = [];
  for (const paragraph of text.split("\n")) {
    let line = "";
    for (const word of paragraph.split(" ")) {
      if (line !== "" && line.length + 1 + word.length > columns) {
        lines.push(line);
        line = word;
      } else {
        line = line === "" ? word : `${line} ${word}`;
      }
    }
    lines.push(line);
  }
  return lines;
}

export function title(text, lines) {
  print();
  print(` ${bold(text)}`);
  for (const line of lines.flatMap((each) => wrap(each, width - 2))) print(` ${dim(line)}`);
}

export function scene(number, text) {
  print();
  print(` ${cyan(bold(`${number}  ${text}`))}`);
  const heads = ["sent".padEnd(sentWidth), "came back".padEnd(backWidth), "ledger"];
  print(`    ${dim(heads.join(" "))}`);
}

/** One step. `wrong` is empty when everything was as expected, else one line for each thing that differed. */
export function row({ sent, back, ledger, wrong }) {
  const cells = [wrap(sent, sentWidth - 1), wrap(back, backWidth - 1), [ledger]];
  const mark = wrong.length === 0 ? green("✓") : red("✗");
  for (let at = 0; at < Math.max(...cells.map((cell) => cell.length)); at++) {
    const [left = "", middle = "", right = ""] = cells.map((cell) => cell[at]);
    const text = `${left.padEnd(sentWidth)} ${middle.padEnd(backWidth)} ${bold(right)}`;
    print(`  ${at === 0 ? mark : " "} ${text}`);
  }
  for (const line of wrong) print(`    ${red(line)}`);
}

export function why(text) {
  for (const [at, line] of wrap(text, width - 7).entries()) print(`    ${dim(`${at === 0 ? "└" : " "} ${line}`)}`);
}

export function ending(text, isGood) {
  print();
  for (const line of wrap(text, width - 2)) print(` ${bold(isGood ? green(line) : red(line))}`);
  print();
}
