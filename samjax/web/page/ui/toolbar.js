/** The toolbar: tools of the pointer, undo and redo. */

import { byId, el, icon } from "./dom.js";
import { renderOn } from "./frames.js";

/** @typedef {import("../state/state.js").PageStore} PageStore */
/** @typedef {import("../state/state.js").Tool} Tool */

/** @type {{tool: Tool, name: string, key: string}[]} */
export const TOOLS = [
  { tool: "add", name: "Positive point", key: "a" },
  { tool: "subtract", name: "Negative point", key: "s" },
  { tool: "box", name: "Box", key: "b" },
  { tool: "brush", name: "Brush", key: "d" },
  { tool: "eraser", name: "Eraser", key: "e" },
  { tool: "everything", name: "Everything", key: "g" },
  { tool: "hand", name: "Move and select", key: "h" },
];

/**
 * @param {PageStore} store
 * @param {import("../state/commands.js").Commands} commands
 */
export function makeToolbar(store, commands) {
  const bar = byId("tools");
  const buttons = TOOLS.map(({ tool, name, key }) => {
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
      const isChosen = TOOLS[i].tool === tool;
      element.setAttribute("aria-pressed", String(isChosen));
      element.disabled = !isReady && TOOLS[i].tool !== "hand";
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
