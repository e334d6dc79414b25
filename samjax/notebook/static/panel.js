/** The controls under the image: kind of point, choice of masks, actions, objects. */

import { colorsOf } from "../../web/page/ui/colors.js";
import { el, icon, iconButton, replaceChildren } from "../../web/page/ui/dom.js";

/** @typedef {import("./clicker.js").Candidate} Candidate */

/**
 * @typedef {object} Actions
 * @property {(isNegative: boolean) => void} setNegative
 * @property {(index: number) => void} choose
 * @property {() => void} undo
 * @property {() => void} discard
 * @property {() => void} accept
 * @property {() => void} clear
 * @property {(index: number) => void} removeObject
 */

/**
 * @typedef {object} PanelState
 * @property {boolean} isNegative
 * @property {boolean} isBlank
 * @property {boolean} isPredicting
 * @property {boolean} canUndo
 * @property {readonly Candidate[]} choices the largest first; empty where there is no choice
 * @property {Candidate | null} shown
 * @property {number} objects
 * @property {string} problem
 */

const LEVEL_NAMES = { whole: "Whole", part: "Part", subpart: "Subpart" };
const HINT = "Click an object, or drag a box around it. Right-click or Shift-click: background.";

export class Panel {
  #actions;
  #kinds = el("div", { class: "segments", role: "radiogroup", "aria-label": "Points" });
  #levels = el("div", { class: "segments", role: "radiogroup", "aria-label": "Masks of this prompt" });
  #objects = el("ul", { "aria-label": "Accepted objects" });
  #status = el("p", { class: "status", role: "status" });
  #problem = el("p", { class: "problem", role: "alert" });
  #undo;
  #discard;
  #accept;

  /** @param {Actions} actions */
  constructor(actions) {
    this.#actions = actions;
    this.#undo = iconButton("undo", "Undo", actions.undo);
    this.#discard = el("button", { type: "button", class: "button", onclick: actions.discard }, "Discard");
    this.#accept = el("button", { type: "button", class: "button primary", onclick: actions.accept }, icon("check"), "Accept");
    this.element = el(
      "div",
      { class: "panel" },
      el("div", { class: "row" }, this.#kinds, el("span", { class: "space" }), this.#undo, this.#discard, this.#accept),
      this.#levels,
      this.#status,
      this.#problem,
      this.#objects,
    );
  }

  /** @param {PanelState} state */
  show(state) {
    const { isNegative, isBlank, shown, choices } = state;
    const { setNegative, choose } = this.#actions;
    radios(this.#kinds, "kind", [
      { value: 0, isChosen: !isNegative, content: [icon("add"), "Foreground"] },
      { value: 1, isChosen: isNegative, content: [icon("subtract"), "Background"] },
    ], (value) => setNegative(value === 1));
    this.#levels.hidden = choices.length === 0;
    radios(this.#levels, "level", choices.map((candidate) => ({
      value: candidate.index,
      isChosen: candidate.index === shown?.index,
      content: [
        candidate.level ? LEVEL_NAMES[candidate.level] : "Mask",
        el("small", { title: "Predicted IoU" }, candidate.score.toFixed(2)),
      ],
    })), choose);
    this.#undo.disabled = !state.canUndo;
    this.#discard.disabled = isBlank;
    this.#accept.disabled = !shown?.area;
    const text = isBlank ? HINT : statusOf(state);
    if (this.#status.textContent !== text) this.#status.textContent = text;
    this.element.setAttribute("aria-busy", String(state.isPredicting));
    this.#problem.hidden = state.problem === "";
    if (this.#problem.textContent !== state.problem) this.#problem.textContent = state.problem;
    this.#showObjects(state.objects);
  }

  /** @param {number} count */
  #showObjects(count) {
    this.#objects.hidden = count === 0;
    const items = Array.from({ length: count }, (_, i) =>
      el(
        "li",
        { style: `--swatch: ${colorsOf(String(i)).line}` },
        `${i + 1}`,
        iconButton("close", `Remove object ${i + 1}`, () => this.#actions.removeObject(i), { "data-key": `remove-${i}` }),
      ),
    );
    const clear = el("li", { class: "plain" }, el("button", { type: "button", class: "button", "data-key": "clear", onclick: this.#actions.clear }, "Clear all"));
    replaceChildren(this.#objects, [...items, clear]);
  }
}

/** @param {PanelState} state */
function statusOf({ shown, isPredicting, problem }) {
  if (isPredicting) return problem ? "" : "Predicting…";
  if (!shown) return "";
  if (!shown.area) return "This mask is empty.";
  return `${shown.area.toLocaleString("en")} px · predicted IoU ${shown.score.toFixed(2)}`;
}

/**
 * Buttons of which one is chosen: by a click, or by arrow keys as in a group of radios.
 * @param {HTMLElement} group
 * @param {string} name
 * @param {{value: number, isChosen: boolean, content: (Node | string)[]}[]} options
 * @param {(value: number) => void} choose
 */
function radios(group, name, options, choose) {
  group.onkeydown = (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const at = options.findIndex(({ isChosen }) => isChosen);
    if (!step || options.length === 0) return;
    event.preventDefault();
    event.stopPropagation();
    const { value } = options[(at + step + options.length) % options.length];
    choose(value);
    /** @type {HTMLElement | null} */ (group.querySelector(`[data-key="${name}-${value}"]`))?.focus();
  };
  replaceChildren(group, options.map(({ value, isChosen, content }) =>
    el("button", {
      type: "button",
      role: "radio",
      "aria-checked": String(isChosen),
      tabindex: isChosen ? 0 : -1,
      "data-key": `${name}-${value}`,
      onclick: () => choose(value),
    }, ...content),
  ));
}
