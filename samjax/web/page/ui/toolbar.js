/** The bar of tools: what the pointer does, undo and redo. */

import { byId, el, icon } from "./dom.js";

/** @typedef {import("./gestures.js").Tool} Tool */

/** @type {{tool: Tool, name: string, key: string}[]} */
export const TOOLS = [
  { tool: "add", name: "Add a point", key: "a" },
  { tool: "subtract", name: "Take away", key: "s" },
  { tool: "box", name: "Box", key: "b" },
  { tool: "brush", name: "Brush", key: "d" },
  { tool: "eraser", name: "Eraser", key: "e" },
  { tool: "everything", name: "Everything", key: "g" },
  { tool: "hand", name: "Move and select", key: "h" },
];

/**
 * @param {{choose: (tool: Tool) => void, undo: () => void, redo: () => void}} given
 * @returns {(state: {tool: Tool, canUndo: boolean, canRedo: boolean, isReady: boolean}) => void} shows a state
 */
export function makeTools({ choose, undo, redo }) {
  const bar = byId("tools");
  const buttons = TOOLS.map(({ tool, name, key }) => {
    const label = `${name} (${key.toUpperCase()})`;
    return el(
      "button",
      { type: "button", class: "tool", "aria-label": name, "aria-keyshortcuts": key, title: label, "data-tool": tool, "data-testid": `tool-${tool}`, onclick: () => choose(tool) },
      icon(tool),
    );
  });
  const button = (/** @type {"undo" | "redo"} */ name, /** @type {string} */ label, /** @type {() => void} */ run) =>
    el("button", { type: "button", class: "tool", "aria-label": label, title: label, "data-testid": name, onclick: run }, icon(name));
  const back = button("undo", "Undo", undo);
  const forth = button("redo", "Redo", redo);
  bar.append(...buttons, el("span", { class: "divider", role: "separator" }), back, forth);
  moveByArrows(bar);
  return ({ tool, canUndo, canRedo, isReady }) => {
    buttons.forEach((element, i) => {
      const isChosen = TOOLS[i].tool === tool;
      element.setAttribute("aria-pressed", String(isChosen));
      element.disabled = !isReady && TOOLS[i].tool !== "hand";
    });
    back.disabled = !canUndo;
    forth.disabled = !canRedo;
  };
}

/**
 * Arrow keys go along a toolbar, as its role promises.
 * @param {HTMLElement} bar
 */
function moveByArrows(bar) {
  bar.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const all = /** @type {HTMLButtonElement[]} */ ([...bar.querySelectorAll("button:enabled")]);
    const at = all.indexOf(/** @type {HTMLButtonElement} */ (document.activeElement));
    all[(at + step + all.length) % all.length]?.focus();
    event.preventDefault();
  });
}
