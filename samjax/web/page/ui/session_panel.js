/** The card of the mask that is being made: which mask, its label, accept and discard. */

import { byId, el, icon, replaceChildren } from "./dom.js";

/** @typedef {import("../state/editor.js").Editor} Editor */
/** @typedef {import("../state/labels.js").Labels} Labels */

const LEVEL_NAMES = { whole: "Whole", part: "Part", subpart: "Subpart" };

/**
 * @param {{editor: Editor, labels: Labels, accept: () => void, discard: () => void, setLabel: (label: string) => void, hint: () => string}} given
 * @returns {() => void} shows what is now
 */
export function makeSessionPanel({ editor, labels, accept, discard, setLabel, hint }) {
  const input = /** @type {HTMLInputElement} */ (byId("label"));
  const button = /** @type {HTMLButtonElement} */ (byId("accept"));
  button.append(icon("check"), "Accept");
  button.addEventListener("click", accept);
  byId("discard").append("Discard");
  byId("discard").addEventListener("click", discard);
  input.addEventListener("input", () => setLabel(input.value.trim()));
  input.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== "Escape") return;
    event.preventDefault();
    byId("stage").focus();
    if (event.key === "Enter") accept();
  });
  byId("levels").addEventListener("keydown", ({ key }) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[key];
    const { choices, showing } = editor;
    if (!step || !choices.length) return;
    const at = choices.findIndex(({ index }) => index === showing?.index);
    const { index } = choices[(at + step + choices.length) % choices.length];
    editor.choose(index);
    /** @type {HTMLElement | null} */ (byId("levels").querySelector(`[data-key="level-${index}"]`))?.focus();
  });
  let shownLevels = "";

  return () => {
    const { showing, session, choices } = editor;
    const isEmpty = editor.isEmpty && !session.editing;
    byId("session").setAttribute("aria-busy", String(editor.busy));
    byId("session-hint").hidden = !isEmpty;
    byId("session-hint").textContent = isEmpty ? hint() : "";
    byId("session-body").hidden = isEmpty;
    byId("session-title").textContent = session.editing ? "Edit mask" : "New mask";
    byId("session-facts").textContent = factsOf(editor);
    button.disabled = !showing?.area;
    if (document.activeElement !== input) input.value = labels.current;
    showRecent(labels, setLabel);

    const levels = choices.map(({ index, level, score }) => `${index} ${level} ${score} ${index === showing?.index}`).join();
    if (levels === shownLevels) return;
    shownLevels = levels;
    byId("levels").hidden = !choices.length;
    replaceChildren(
      byId("levels"),
      choices.map(({ index, level, score }) => {
        const isChosen = index === showing?.index;
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
          el("small", { title: "The IoU that the model expects" }, score.toFixed(2)),
        );
      }),
    );
  };
}

/** @param {Editor} editor */
function factsOf({ showing, busy }) {
  if (!showing) return busy ? "Looking…" : "";
  const facts = [`${showing.area.toLocaleString("en")} px`];
  if (showing.score !== null) facts.push(`expected IoU ${showing.score.toFixed(2)}`);
  return facts.join(" · ");
}

/**
 * @param {Labels} labels
 * @param {(label: string) => void} setLabel
 */
function showRecent({ recent, current }, setLabel) {
  const group = byId("recent-labels");
  const signature = JSON.stringify([recent, current]);
  if (group.dataset.signature === signature) return;
  group.dataset.signature = signature;
  replaceChildren(
    group,
    recent.map((label, i) =>
      el(
        "button",
        {
          type: "button",
          class: "chip",
          "aria-pressed": String(label === current),
          "data-key": `label-${label}`,
          onclick: () => setLabel(label === current ? "" : label),
        },
        el("kbd", { "aria-hidden": "true" }, String(i + 1)),
        label,
      ),
    ),
  );
}
