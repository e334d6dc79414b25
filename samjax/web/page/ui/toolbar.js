/** The toolbar: tools of the pointer, undo and redo. */

import { byId, el, icon } from "./dom.js";
import { renderOn } from "./frames.js";

/** @typedef {import("../state/state.js").PageStore} PageStore */
/** @typedef {import("../state/state.js").Tool} Tool */

/** @typedef {{tool: Tool, name: string, key: string}} ToolEntry */

/** @type {ToolEntry[]} */
const TOOLS = [
  { tool: "add", name: "Positive point", key: "a" },
  { tool: "subtract", name: "Negative point", key: "s" },
  { tool: "box", name: "Box", key: "b" },
  { tool: "brush", name: "Brush", key: "d" },
  { tool: "eraser", name: "Eraser", key: "e" },
  { tool: "everything", name: "Everything", key: "g" },
  { tool: "region", name: "Region to blur", key: "z" },
  { tool: "hand", name: "Move and select", key: "h" },
];

/**
 * @param {boolean} hasRegions whether regions to blur can be stored
 * @returns {ToolEntry[]} the tools that there are
 */
export function toolsFor(hasRegions) {
  return TOOLS.filter(({ tool }) => hasRegions || tool !== "region");
}

/**
 * @param {PageStore} store
 * @param {import("../state/commands.js").Commands} commands
 * @param {ToolEntry[]} tools
 */
export function makeToolbar(store, commands, tools) {
  const bar = byId("tools");
  const buttons = tools.map(({ tool, name, key }) => {
    const label = `${name} (${key.toUpperCase()})`;
    return el(
      "button",
      { type: "button", class: "tool", "aria-label": name, "aria-keyshortcuts": key, title: label, "data-tool": tool, "data-testid": `tool-${tool}`, onclick: () => commands.chooseTool(tool) },
      icon(tool),
    );
  });
  const button = (/** @type {"undo" | "redo"} */ name, /** @type {string} */ label, /** @type {() => void} */ run) =>
    el("button", { type: "button", class: "tool", "aria-label": label, title: label, "data-testid": name, onclick: run }, icon(name));
  const undo = button("undo", "Undo", () => commands.undo());
  const redo = button("redo", "Redo", () => commands.redo());
  bar.append(...buttons, el("span", { class: "divider", role: "separator" }), undo, redo);
  moveByArrows(bar);
  renderOn(store, ["tool", "undoable", "redoable", "isReady"], ({ tool, undoable, redoable, isReady }) => {
    buttons.forEach((element, i) => {
      const isChosen = tools[i].tool === tool;
      element.setAttribute("aria-pressed", String(isChosen));
      element.disabled = !isReady && !["hand", "region"].includes(tools[i].tool);
    });
    undo.disabled = undoable === null;
    redo.disabled = redoable === null;
    byId("stage").dataset.tool = tool;
  });
}

/**
 * Moves the focus along a toolbar by arrow keys, as ARIA has it for this role.
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
