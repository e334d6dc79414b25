/**
 * The front end of `samjax.notebook.Clicker`, an anywidget module.
 *
 * The whole state is sent at every change; masks come back as run lengths, with the prompt
 * that they are of. A decoder in the browser, if there is one, shows them before. Python joins this module with its imports (`es_modules.py`).
 */

import { tracedMask } from "../../web/page/core/postprocessing.js";
import { isAmbiguous, levelsOf, withoutPoint, withPoint } from "../../web/page/core/prompts.js";
import { el } from "../../web/page/ui/dom.js";
import { BrowserDecoder } from "./browser_decoder.js";
import { Panel } from "./panel.js";
import { accepted, discarded, EMPTY_SESSION, fromJson, isBlank, keyOf, keyWithChoice, objectFromJson, toJson, withChoice, withoutObject, withPrompt } from "./session.js";
import { Stage } from "./stage.js";
import { themeOf } from "./theme.js";

/** @typedef {import("../../web/page/core/postprocessing.js").Shape} Shape */
/** @typedef {import("../../web/page/core/run_lengths.js").Segmentation} Segmentation */
/** @typedef {import("./session.js").Session} Session */

/**
 * The part of anywidget's model that is used.
 * @typedef {object} Model
 * @property {(name: string) => any} get
 * @property {(name: string, value: any) => void} set
 * @property {() => void} save_changes
 * @property {(content: any) => void} send
 * @property {(event: string, listener: (...values: any[]) => void) => void} on
 * @property {(event: string, listener: (...values: any[]) => void) => void} off
 */

/**
 * A predicted mask.
 * @typedef {object} Candidate
 * @property {number} index among the masks of its prompt
 * @property {number} score predicted IoU
 * @property {number} area in pixels of the image
 * @property {"whole" | "part" | "subpart" | null} level
 * @property {Shape} shape
 */

const CHANGES = ["_session", "_candidates", "_accepted", "_problem"].map((name) => `change:${name}`);
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

class Clicker {
  #model;
  #stage;
  #panel;
  /** @type {Session[]} */
  #past = [];
  /** Shapes of the last masks, by their run lengths. @type {Map<string, Shape>} */
  #shapes = new Map();
  /** Accepted masks that Python has not made yet, by object. @type {Map<string, Shape>} */
  #kept = new Map();
  /** @type {Promise<BrowserDecoder> | null} */
  #decoder = null;
  /** The last masks of the browser's decoder. @type {{key: string, masks: Candidate[]} | null} */
  #preview = null;
  #previewing = "";
  /** Why the browser's decoder failed, or nothing. */
  #problem = "";

  /** @param {Model} model */
  constructor(model) {
    this.#model = model;
    this.#stage = new Stage(model.get("_picture"), model.get("_size"), {
      click: (point, isNegative) => this.#change((session) => withPrompt(session, (prompt) => withPoint(prompt, point, isNegative ? 0 : 1))),
      box: (box) => this.#change((session) => withPrompt(session, (prompt) => ({ ...prompt, box }))),
      remove: (index) => this.#change((session) => withPrompt(session, (prompt) => withoutPoint(prompt, index))),
    });
    this.#panel = new Panel({
      setNegative: (isNegative) => {
        this.#stage.isNegative = isNegative;
        this.#show();
      },
      choose: (index) => this.#change((session) => withChoice(session, index)),
      undo: () => this.#pressed(() => this.#undo()),
      discard: () => this.#pressed(() => this.#change(discarded)),
      accept: () => this.#pressed(() => this.#accept()),
      clear: () => this.#pressed(() => this.#change(() => EMPTY_SESSION)),
      removeObject: (index) => this.#pressed(() => this.#change((session) => withoutObject(session, index))),
    });
    this.element = el("div", { class: "samjax-clicker", "data-theme": themeOf() }, this.#stage.element, this.#panel.element);
    // Else JupyterLab's keys act on the cell. It looks at the element with the focus alone.
    this.element.addEventListener("focusin", ({ target }) => target instanceof Element && target.setAttribute("data-lm-suppress-shortcuts", "true"));
    this.element.addEventListener("keydown", (event) => this.#key(event));
    for (const change of CHANGES) model.on(change, this.#show);
    if (model.get("_decoder_url")) this.#loadDecoder(model.get("_decoder_url"));
    this.#show();
  }

  close() {
    for (const change of CHANGES) this.#model.off(change, this.#show);
    this.#stage.close();
    void this.#decoder?.then((decoder) => decoder.close(), () => {});
  }

  /** @param {string} url */
  #loadDecoder(url) {
    this.#decoder = BrowserDecoder.load(url, this.#model);
    this.#decoder.then(() => (this.element.dataset.decoder = "browser"), (error) => this.#fail(error));
  }

  /** @param {unknown} error of the browser's decoder: the kernel's goes on */
  #fail(error) {
    this.#decoder = null;
    this.#problem = `Masks come from the kernel alone: ${error instanceof Error ? error.message : error}`;
    this.#show();
  }

  /** Asks the browser's decoder for the masks of the prompt in progress. */
  #previewNext() {
    const { current } = this.#session;
    const key = keyOf(current);
    if (!this.#decoder || isBlank(this.#session) || this.#previewing === key) return;
    this.#previewing = key;
    this.#decoder
      .then((decoder) => decoder.predict(current.prompt))
      .then((predicted) => {
        if (this.#previewing !== key) return;
        // The decoder's first mask is that of unambiguous prompts.
        const first = isAmbiguous(current.prompt) ? 1 : 0;
        const masks = predicted.map((mask) => ({ ...mask, index: mask.index - first }));
        this.#preview = { key, masks: masks.sort((a, b) => a.index - b.index) };
        this.#show();
      })
      .catch((error) => this.#decoder && this.#fail(error));
  }

  /** @returns {Session} */
  get #session() {
    return fromJson(this.#model.get("_session"));
  }

  /** @param {(session: Session) => Session} change */
  #change(change) {
    const session = this.#session;
    this.#past.push(session);
    this.#send(change(session));
  }

  /**
   * Runs what a button does. If the button is then gone or disabled, the image gets the
   * focus: keys would go to the notebook.
   * @param {() => void} action
   */
  #pressed(action) {
    action();
    const focused = this.element.querySelector(":focus");
    if (!focused || focused.matches(":disabled")) this.#stage.element.focus({ preventScroll: true });
  }

  #undo() {
    const before = this.#past.pop();
    if (before) this.#send(before);
  }

  /** @param {Session} session */
  #send(session) {
    this.#model.set("_session", toJson(session));
    this.#model.save_changes();
    this.#show();
  }

  #accept() {
    const { shown } = this.#candidates();
    if (!shown?.area) return;
    const { current } = this.#session;
    this.#kept.set(keyWithChoice({ ...current, choice: shown.index }), shown.shape);
    this.#change((session) => accepted(session, shown.index));
  }

  /**
   * The masks of the prompt in progress, once they are predicted.
   * @returns {{masks: Candidate[], shown: Candidate | null}}
   */
  #candidates() {
    const { current } = this.#session;
    const answer = this.#model.get("_candidates");
    const key = keyOf(current);
    const isAnswered = answer && keyOf(objectFromJson(answer.of)) === key;
    const masks = isAnswered ? this.#exact(answer.masks) : this.#preview?.key === key ? this.#preview.masks : [];
    if (masks.length === 0) return { masks, shown: null };
    const best = masks.reduce((a, b) => (b.score > a.score ? b : a));
    return { masks, shown: current.choice === null ? best : (masks[current.choice] ?? best) };
  }

  /**
   * @param {{segmentation: Segmentation, score: number, area: number}[]} predicted by Python
   * @returns {Candidate[]}
   */
  #exact(predicted) {
    const levels = levelsOf(predicted.map(({ area }) => area));
    return predicted.map(({ segmentation, score, area }, index) => ({
      index, score, area, level: levels[index], shape: this.#shape(segmentation),
    }));
  }

  /**
   * The outlines of accepted masks: of those from Python, else as they were shown.
   * @param {Session} session
   * @returns {Shape[]}
   */
  #accepted({ objects }) {
    /** @type {{of: import("./session.js").ObjectJson, segmentation: Segmentation}[]} */
    const made = this.#model.get("_accepted");
    const keys = new Set(objects.map(keyWithChoice));
    for (const key of this.#kept.keys()) if (!keys.has(key)) this.#kept.delete(key);
    const known = new Map(made.map(({ of, segmentation }) => [keyWithChoice(objectFromJson(of)), segmentation]));
    return objects.flatMap((object) => {
      const segmentation = known.get(keyWithChoice(object));
      const shape = segmentation ? this.#shape(segmentation) : this.#kept.get(keyWithChoice(object));
      return shape ? [shape] : [];
    });
  }

  /**
   * @param {Segmentation} segmentation
   * @returns {Shape}
   */
  #shape(segmentation) {
    const known = this.#shapes.get(segmentation.counts);
    if (known) return known;
    const { shape } = tracedMask(segmentation);
    this.#shapes.set(segmentation.counts, shape);
    return shape;
  }

  #show = () => {
    const session = this.#session;
    const { masks, shown } = this.#candidates();
    const shapes = this.#accepted(session);
    // Shapes of earlier masks are dropped: they would pile up.
    const used = new Set([...masks.map(({ shape }) => shape), ...shapes]);
    for (const [counts, shape] of this.#shapes) if (!used.has(shape)) this.#shapes.delete(counts);
    this.#stage.show({ accepted: shapes, active: shown?.shape ?? null, prompt: session.current.prompt });
    this.#panel.show({
      isNegative: this.#stage.isNegative,
      isBlank: isBlank(session),
      isPredicting: !isBlank(session) && !shown,
      canUndo: this.#past.length > 0,
      choices: masks.length > 1 ? [...masks].sort((a, b) => b.area - a.area) : [],
      shown,
      objects: session.objects.length,
      problem: this.#model.get("_problem") || this.#problem,
    });
    this.#previewNext();
  };

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (!this.#handles(event)) return;
    event.preventDefault();
    event.stopPropagation();
  }

  /**
   * @param {KeyboardEvent} event
   * @returns {boolean} whether the key has a meaning here
   */
  #handles({ key, shiftKey, ctrlKey, metaKey, altKey, target }) {
    if (ctrlKey || metaKey || altKey) {
      const isUndo = (ctrlKey || metaKey) && !shiftKey && key.toLowerCase() === "z";
      if (isUndo) this.#undo();
      return isUndo;
    }
    if (key === "Escape") {
      if (!isBlank(this.#session)) this.#change(discarded);
      return true;
    }
    const choice = [...this.#candidates().masks].sort((a, b) => b.area - a.area)[Number(key) - 1];
    if (choice) {
      this.#change((session) => withChoice(session, choice.index));
      return true;
    }
    // The rest is for the image: Enter presses a button that has the focus.
    if (target !== this.#stage.element) return false;
    const direction = ARROWS[/** @type {keyof typeof ARROWS} */ (key)];
    if (direction) this.#stage.moveCrosshair(direction[0], direction[1], shiftKey);
    else if (key !== "Enter") return false;
    else if (this.#stage.isAimed) this.#stage.placePoint(shiftKey || this.#stage.isNegative);
    else if (!shiftKey) this.#accept();
    return true;
  }
}

/**
 * @param {{model: Model, el: HTMLElement}} context
 * @returns {() => void} called when the view is removed
 */
function render({ model, el: parent }) {
  const clicker = new Clicker(model);
  parent.append(clicker.element);
  return () => clicker.close();
}

export default { render };
