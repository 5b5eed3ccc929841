// The only way anything gets onto the page: elements by name, everything else as text. Keys, routes, headers and bodies
// are written by strangers; no string is ever read as markup here, and the page's policy forbids it as well.

/**
 * @param {string} name
 * @param {Record<string, unknown>} [attributes] `onclick` and its kin are listeners; `false` and `null` are left out.
 * @param {...(Node | string | number | null | undefined)} children
 */
export function el(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** The same in SVG. */
export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== undefined).map(asNode));
  return element;
}

function asNode(child) {
  return child instanceof Node ? child : document.createTextNode(String(child));
}

/** Changes the text only where it is another one: what has not changed is not announced, selected or drawn again. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** A heading that a new view gives the focus to, so that a screen reader begins there. */
export function viewHeading(...children) {
  return el("h1", { tabindex: "-1" }, ...children);
}

/** A column heading, or a row's. */
export function th(text, attributes = {}) {
  return el("th", { scope: "col", ...attributes }, text);
}

/** Facts as pairs; what is `null` is left out. */
export function facts(pairs) {
  const list = el("dl", { class: "facts" });
  for (const [name, value] of pairs) {
    if (value !== null && value !== undefined) list.append(el("div", {}, el("dt", {}, name), el("dd", {}, value)));
  }
  return list;
}

/** A table that can be scrolled sideways by keyboard too. */
export function wide(label, table) {
  return el("div", { class: "wide", tabindex: "0", role: "region", "aria-label": label }, table);
}

let nextId = 1;

/** A labelled control. The hint is read with it. */
export function field(label, control, hint) {
  const id = `field-${nextId++}`;
  control.id = id;
  if (hint !== undefined) control.setAttribute("aria-describedby", `${id}-hint`);
  return el(
    "div",
    { class: "field" },
    el("label", { for: id }, label),
    control,
    hint === undefined ? null : el("p", { class: "hint", id: `${id}-hint` }, hint),
  );
}
