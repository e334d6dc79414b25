/** Keyboard shortcuts: one table, for the listener and for the help sheet. */

import { byId, el, iconButton } from "./dom.js";

/**
 * @typedef {object} KeyAction
 * @property {string} group
 * @property {string[]} keys as `event.key` has them, after "mod+" or "shift+" if any
 * @property {string} shown
 * @property {string} does
 * @property {(event: KeyboardEvent) => boolean | void} [run] returns false where it does not apply
 */

/**
 * @param {KeyAction[]} actions
 * @param {() => boolean} isActive whether an image is open: else those of the gallery and the page apply
 */
export function listenForKeys(actions, isActive) {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || document.querySelector("dialog[open]")) return;
    if (isTyping(event.target)) return;
    const name = nameOf(event);
    const applies = (/** @type {string} */ group) => group === "Page" || (group === "Gallery") !== isActive();
    const actionOf = (/** @type {string} */ wanted) => actions.find(({ keys, run, group }) => run && keys.includes(wanted) && applies(group));
    // A letter with shift may have an action of its own.
    const action = (event.shiftKey && /^[a-z]$/.test(name) && actionOf(`shift+${name}`)) || actionOf(name);
    if (!action?.run) return;
    // Enter and space activate the button that has the focus.
    if ((name === "Enter" || name === " ") && event.target instanceof Element && event.target.closest("button, summary, a")) return;
    if (action.run(event) !== false) event.preventDefault();
  });
}

/** @param {KeyboardEvent} event */
function nameOf({ key, ctrlKey, metaKey, altKey, shiftKey }) {
  if (altKey) return `alt+${key}`;
  const letter = key.length === 1 ? key.toLowerCase() : key;
  const shifted = shiftKey && (key.length > 1 || ctrlKey || metaKey) ? "shift+" : "";
  return (ctrlKey || metaKey ? "mod+" : "") + shifted + letter;
}

/** @param {EventTarget | null} target */
function isTyping(target) {
  if (!(target instanceof HTMLElement)) return false;
  if (target instanceof HTMLInputElement) return !["range", "checkbox", "button"].includes(target.type);
  return target.isContentEditable || target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement;
}

/** @param {KeyAction[]} actions */
export function showHelp(actions) {
  const dialog = /** @type {HTMLDialogElement} */ (byId("help"));
  const groups = [...new Set(actions.map(({ group }) => group))];
  dialog.replaceChildren(
    el("header", {}, el("h2", { id: "help-title" }, "Keys"), iconButton("close", "Close", () => dialog.close())),
    el(
      "div",
      { class: "key-groups" },
      ...groups.map((group) =>
        el(
          "section",
          {},
          el("h3", {}, group),
          el(
            "dl",
            {},
            ...actions
              .filter((action) => action.group === group && action.shown)
              .map(({ shown, does }) =>
                el("div", {}, el("dt", {}, ...shown.split(" ").map((key) => (key === "or" ? " or " : el("kbd", {}, key)))), el("dd", {}, does)),
              ),
          ),
        ),
      ),
    ),
  );
  dialog.onclick = (event) => event.target === dialog && dialog.close();
  dialog.showModal();
}
