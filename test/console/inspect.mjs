/** Run within a page: what a person with other eyes or hands would stumble over. */

/** Texts whose contrast with what is behind them is under WCAG's 4.5:1 (3:1 when large). */
export function faintTexts() {
  const parse = (colour) => {
    const parts = colour.match(/[\d.]+/g).map(Number);
    return { rgb: parts.slice(0, 3), alpha: parts[3] ?? 1 };
  };
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((part) => {
      const share = part / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let at = element; at !== null; at = at.parentElement) {
      const { rgb, alpha } = parse(getComputedStyle(at).backgroundColor);
      if (alpha === 1) return rgb;
    }
    return [255, 255, 255];
  };
  const faint = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const text = walker.currentNode.textContent.trim();
    if (text === "" || !element.checkVisibility() || element.closest(".hidden, .skip, noscript") !== null) continue;
    const style = getComputedStyle(element);
    const [a, b] = [luminance(parse(style.color).rgb), luminance(behind(element))].sort((x, y) => y - x);
    const isLarge =
      parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 600);
    const contrast = (a + 0.05) / (b + 0.05);
    if (contrast < (isLarge ? 3 : 4.5)) faint.push(`"${text.slice(0, 40)}" ${contrast.toFixed(2)}`);
  }
  return faint;
}

/** What a screen reader could not name or place. */
export function unnamed() {
  const found = [];
  const name = (element) =>
    element.getAttribute("aria-label") ??
    document.getElementById(element.getAttribute("aria-labelledby") ?? "")?.textContent ??
    element.labels?.[0]?.textContent ??
    element.textContent;
  const isShown = (element) => element.checkVisibility();
  for (const element of document.querySelectorAll("input, select, textarea, button, a, dialog, nav, section")) {
    if (isShown(element) && name(element).trim() === "") found.push(`${element.tagName} has no name`);
  }
  for (const cell of document.querySelectorAll("th"))
    if (!cell.scope) found.push(`heading ${cell.textContent} has no scope`);
  const count = (selector) => [...document.querySelectorAll(selector)].filter(isShown).length;
  if (count("h1") !== 1) found.push(`${count("h1")} first headings`);
  if (count("main") !== 1 || count("header") !== 1 || count("footer") !== 1) found.push("landmarks are missing");
  const levels = [...document.querySelectorAll("h1, h2, h3")].filter(isShown).map(({ tagName }) => Number(tagName[1]));
  if (levels.some((level, at) => at > 0 && level > levels[at - 1] + 1)) found.push(`headings leap: ${levels}`);
  if (document.documentElement.lang !== "en") found.push("the page's language is not said");
  const ids = [...document.querySelectorAll("[id]")].map(({ id }) => id);
  if (new Set(ids).size !== ids.length) found.push("an id is there twice");
  return found;
}

/** How far the page is wider than its window, px. */
export function overhang() {
  return document.scrollingElement.scrollWidth - innerWidth;
}

/** What has the focus, in a word or two; and whether it can be seen. */
export function focus() {
  const element = document.activeElement;
  const style = getComputedStyle(element);
  const isRinged = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0;
  return { tag: element.tagName, text: (element.textContent || element.name || element.id).trim(), isRinged };
}
