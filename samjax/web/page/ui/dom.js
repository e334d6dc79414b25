/** Elements and icons. */

const SVG = "http://www.w3.org/2000/svg";

/** SVG paths on a grid of 20 x 20, to be stroked. */
const ICONS = {
  add: "M10 4v12M4 10h12",
  subtract: "M4 10h12",
  box: "M4 4.5h12v11H4z",
  brush: "M16.5 3.5c-3 1.500-6.500 5-8 7.500l1.500 1.500c2.500-1.500 6-5 7.500-8zM8 11c-2 0-3 1.500-3 3 0 1-.7 1.700-1.500 2 3 .9 6 0 6-3z",
  eraser: "M8 16.500l-4.500-4.500 8-8 5 5-7.500 7.500zM7 8.500l5 5M8 16.500h8.500",
  hand: "M10 3v14M3 10h14M10 3L8 5M10 3l2 2M10 17l-2-2M10 17l2-2M3 10l2-2M3 10l2 2M17 10l-2-2M17 10l-2 2",
  everything: "M4 4h3v3H4zM13 4h3v3h-3zM4 13h3v3H4zM13 13h3v3h-3zM10 4v12M4 10h12",
  region: "M3 6V3.500h2.500M14.500 3.500H17V6M17 14v2.500h-2.500M5.500 16.500H3V14M6.500 7h7M6.500 10h7M6.500 13h7",
  undo: "M7.500 4L4 7.500 7.500 11M4.500 7.500H12a4 4 0 010 8H8",
  redo: "M12.500 4L16 7.500 12.500 11M15.500 7.500H8a4 4 0 000 8h4",
  fit: "M4 7.500V4h3.500M12.500 4H16v3.500M16 12.500V16h-3.500M7.500 16H4v-3.500",
  gallery: "M4 4h5v5H4zM11 4h5v5h-5zM4 11h5v5H4zM11 11h5v5h-5z",
  previous: "M12 4.500L6.500 10l5.500 5.500",
  next: "M8 4.500l5.500 5.500L8 15.500",
  export: "M10 3v9M6.500 8.500L10 12l3.500-3.500M4 13.500V16h12v-2.500",
  theme: "M10 3.500a6.500 6.500 0 100 13zM10 3.500a6.500 6.500 0 010 13",
  help: "M7.500 7.500a2.500 2.500 0 113.500 2.300c-.7.4-1 .8-1 1.700M10 14.500v.1",
  eye: "M2.500 10S5 5 10 5s7.500 5 7.500 5-2.500 5-7.500 5-7.500-5-7.500-5zM10 8a2 2 0 100 4 2 2 0 000-4z",
  hidden: "M3 3l14 14M8 5.300A7 7 0 0110 5c5 0 7.500 5 7.500 5a13 13 0 01-2.200 2.800M5 7a12 12 0 00-2.500 3s2.500 5 7.500 5a7 7 0 003-.7",
  edit: "M4 16l.8-3.200L13 4.500l2.500 2.500-8.300 8.200zM11.500 6l2.500 2.500",
  remove: "M4.500 6h11M8 6V4h4v2M6 6l.7 10h6.600L14 6M8.500 8.500v5M11.500 8.500v5",
  check: "M4 10.500l4 4 8-9",
  close: "M5 5l10 10M15 5L5 15",
  warning: "M10 3.500l7 12.500H3zM10 8.500v3.500M10 13.900v.1",
  instructions: "M5 3.500h7l3 3v10H5zM12 3.500v3h3M7.500 9.500h5M7.500 12h5",
  statistics: "M4 16.500h12.500M6 14V9.500M10 14V4.500M14 14V7.500",
  upload: "M10 13V4M6.500 7.500L10 4l3.500 3.500M4 13.500V16h12v-2.500",
};

/** @typedef {keyof typeof ICONS} IconName */

/**
 * @param {IconName} name
 * @returns {SVGElement}
 */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 20 20");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, any>} [attributes] `on...` are listeners; false and null are left out
 * @param {...(Node | string | null | false | undefined)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value") /** @type {any} */ (element).value = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children) if (child !== null && child !== false && child !== undefined) element.append(child);
  return element;
}

/**
 * @param {IconName} name
 * @param {string} label for screen readers, and the tooltip
 * @param {() => void} onClick
 * @param {Record<string, any>} [more]
 * @returns {HTMLButtonElement}
 */
export function iconButton(name, label, onClick, more = {}) {
  return el("button", { type: "button", class: "icon-button", "aria-label": label, title: label, onclick: onClick, ...more }, icon(name));
}

/**
 * @template {HTMLElement} [E=HTMLElement]
 * @param {string} id
 * @returns {E}
 */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no #${id}`);
  return /** @type {E} */ (element);
}

/**
 * Replaces an element's children; the focus moves to the new one of the same `data-key`.
 * @param {HTMLElement} parent
 * @param {(Node | string | null | false)[]} children
 */
export function replaceChildren(parent, children) {
  const active = document.activeElement;
  const key = active instanceof HTMLElement && parent.contains(active) ? active.dataset.key : undefined;
  parent.replaceChildren(.../** @type {Node[]} */ (children.filter((child) => child !== null && child !== false)));
  if (key) /** @type {HTMLElement | null} */ (parent.querySelector(`[data-key="${CSS.escape(key)}"]`))?.focus();
}
