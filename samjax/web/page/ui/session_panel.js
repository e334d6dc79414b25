/** The card of the mask that is being made: choice of masks, label, accept and discard. */

import { choicesOf, isBlank, shownMask } from "../state/session.js";
import { byId, el, icon, replaceChildren } from "./dom.js";
import { renderOn } from "./frames.js";

/** @typedef {import("../state/editor.js").Editor} Editor */
/** @typedef {import("../state/commands.js").Commands} Commands */
/** @typedef {import("../state/state.js").PageStore} PageStore */
/** @typedef {import("../state/state.js").State} State */

const LEVEL_NAMES = { whole: "Whole", part: "Part", subpart: "Subpart" };

/** @type {Record<import("../state/state.js").Tool, string>} */
const HINTS = {
  add: "Click an object, or drag a box around it.",
  subtract: "Click an object, or drag a box around it.",
  box: "Drag a box around an object.",
  brush: "Paint the object. A click then refines it.",
  eraser: "Edit a mask, and erase pixels of it.",
  everything: "Generates masks for the whole image.",
  region: "Drag a box around what is to be blurred.",
  hand: "Drag to move the image. Click a mask to select it.",
};

/**
 * @param {PageStore} store
 * @param {Editor} editor
 * @param {Commands} commands
 */
export function makeSessionPanel(store, editor, commands) {
  const input = /** @type {HTMLInputElement} */ (byId("label"));
  const button = /** @type {HTMLButtonElement} */ (byId("accept"));
  button.append(icon("check"), "Accept");
  button.addEventListener("click", () => commands.accept());
  byId("discard").append("Discard");
  byId("discard").addEventListener("click", () => commands.escape());
  input.addEventListener("input", () => commands.setLabel(input.value.trim()));
  input.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== "Escape") return;
    event.preventDefault();
    byId("stage").focus();
    if (event.key === "Enter") void commands.accept();
  });
  byId("levels").addEventListener("keydown", ({ key }) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[key];
    const { session, prediction } = store.state;
    const choices = choicesOf(session, prediction);
    if (!step || !choices.length) return;
    const shown = shownMask(session, prediction);
    const at = choices.findIndex(({ index }) => index === shown?.index);
    const { index } = choices[(at + step + choices.length) % choices.length];
    editor.choose(index);
    // The buttons are made anew with the next frame, which keeps the focus by this key.
    /** @type {HTMLElement | null} */ (byId("levels").querySelector(`[data-key="level-${index}"]`))?.focus();
  });
  let shownLevels = "";

  renderOn(store, ["session", "prediction", "isPredicting", "isReady", "tool", "label", "recentLabels", "isLong"], (state) => {
    const { session, prediction, isPredicting } = state;
    const shown = shownMask(session, prediction);
    const choices = choicesOf(session, prediction);
    const isEmpty = isBlank(session) && !session.editing;
    byId("session").setAttribute("aria-busy", String(isPredicting));
    byId("session-hint").hidden = !isEmpty;
    byId("session-hint").textContent = isEmpty && state.isReady ? HINTS[state.tool] : "";
    byId("session-body").hidden = isEmpty;
    byId("session-title").textContent = session.editing ? "Edit mask" : "New mask";
    byId("session-facts").textContent = factsOf(shown, isPredicting);
    byId("session-long").hidden = !state.isLong;
    button.disabled = !shown?.area;
    if (document.activeElement !== input) input.value = state.label;
    showRecent(state, commands);

    const levels = choices.map(({ index, level, score }) => `${index} ${level} ${score} ${index === shown?.index}`).join();
    byId("levels").hidden = !choices.length;
    if (levels === shownLevels) return;
    shownLevels = levels;
    replaceChildren(
      byId("levels"),
      choices.map(({ index, level, score }) => {
        const isChosen = index === shown?.index;
        return el(
          "button",
          {
            type: "button",
            role: "radio",
            "aria-checked": String(isChosen),
            tabindex: isChosen ? 0 : -1,
            "data-key": `level-${index}`,
            "data-testid": `level-${level}`,
            onclick: () => editor.choose(index),
          },
          level ? LEVEL_NAMES[level] : "Mask",
          el("small", { title: "Predicted IoU" }, score.toFixed(2)),
        );
      }),
    );
  });
}

/**
 * @param {import("../state/session.js").ShownMask | null} shown
 * @param {boolean} isPredicting
 */
function factsOf(shown, isPredicting) {
  if (!shown) return isPredicting ? "Predicting…" : "";
  const facts = [`${shown.area.toLocaleString("en")} px`];
  if (shown.score !== null) facts.push(`predicted IoU ${shown.score.toFixed(2)}`);
  return facts.join(" · ");
}

/**
 * @param {Readonly<State>} state
 * @param {Commands} commands
 */
function showRecent({ recentLabels, label: current }, commands) {
  const group = byId("recent-labels");
  const signature = JSON.stringify([recentLabels, current]);
  if (group.dataset.signature === signature) return;
  group.dataset.signature = signature;
  replaceChildren(
    group,
    recentLabels.map((label, i) =>
      el(
        "button",
        {
          type: "button",
          class: "chip",
          "aria-pressed": String(label === current),
          "data-key": `label-${label}`,
          onclick: () => commands.setLabel(label === current ? "" : label),
        },
        el("kbd", { "aria-hidden": "true" }, String(i + 1)),
        label,
      ),
    ),
  );
}
