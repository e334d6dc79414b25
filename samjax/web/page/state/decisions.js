/**
 * Decisions on stored proposals, masks that a model drew before anybody opened the image:
 * taken or rejected, one by one or all at once. Each is an edit that can be undone.
 */

import { covers, textToCounts } from "../core/run_lengths.js";
import { isBlank } from "./session.js";

/** @typedef {import("../core/frame.js").Point} Point */
/** @typedef {import("../core/run_lengths.js").Segmentation} Segmentation */
/** @typedef {import("../io/backend.js").AnnotationIn} AnnotationIn */
/** @typedef {import("./mask_list.js").Mask} Mask */
/** @typedef {import("./state.js").PageStore} PageStore */

/** Sources of masks that a model drew without a prompt of a person. @type {Set<string>} */
const DRAWN_BY_MODELS = new Set(["everything", "proposed", "proposal", "automatic"]);

/** Decoded once, for hit tests while the pointer moves. @type {WeakMap<Segmentation, number[]>} */
const decoded = new WeakMap();

export class Decisions {
  #store;
  #masks;
  #history;

  /**
   * @param {PageStore} store
   * @param {{masks: import("./mask_list.js").MaskList, history: import("./history.js").History}} parts
   */
  constructor(store, { masks, history }) {
    this.#store = store;
    this.#masks = masks;
    this.#history = history;
  }

  /** Takes the proposal that a key is for; @returns {boolean} whether there is one */
  takeNext() {
    return this.#decideNext((uuids) => this.take(uuids));
  }

  /** Rejects the proposal that a key is for; @returns {boolean} whether there is one */
  rejectNext() {
    return this.#decideNext((uuids) => this.reject(uuids));
  }

  /** @param {string[]} [uuids] of proposals; all that are open by default */
  take(uuids = this.#open()) {
    const take = () => uuids.forEach((uuid) => this.#masks.change(uuid, { source: "proposal" }));
    const undo = () => uuids.forEach((uuid) => this.#masks.change(uuid, { source: "proposed", edited: false }));
    this.#decide(uuids, "taking", "taken", take, undo);
  }

  /** @param {string[]} [uuids] of proposals; all that are open by default */
  reject(uuids = this.#open()) {
    const reject = () => uuids.forEach((uuid) => this.#masks.remove(uuid));
    const undo = () => uuids.forEach((uuid) => this.#masks.restore(uuid));
    this.#decide(uuids, "rejecting", "rejected", reject, undo);
  }

  /** @param {(uuids: string[]) => void} decide */
  #decideNext(decide) {
    const { masks, session } = this.#store.state;
    const open = masks.filter(isProposed);
    if (!open.length || !isBlank(session)) return false;
    const mask = targetOf(this.#store.state, open);
    if (mask) decide([mask.uuid]);
    else this.#select(open[0].uuid);
    return true;
  }

  /**
   * @param {string[]} uuids
   * @param {string} doing
   * @param {string} done
   * @param {() => void} run
   * @param {() => void} undo
   */
  #decide(uuids, doing, done, run, undo) {
    if (!uuids.length) return;
    const wasSelected = uuids.includes(this.#store.state.selected ?? "");
    run();
    const what = uuids.length === 1 ? "a proposal" : `${uuids.length} proposals`;
    this.#history.push({ name: `${doing} ${what}`, undo, redo: run });
    const left = this.#open();
    // The next one is under the same key.
    if (wasSelected) this.#select(left[0] ?? null);
    this.#store.emit("announcement", `${uuids.length} ${done}, ${left.length} left.`);
  }

  #open() {
    return this.#store.state.masks.filter(isProposed).map(({ uuid }) => uuid);
  }

  /** @param {string | null} uuid */
  #select(uuid) {
    this.#store.set({ selected: uuid });
  }
}

/**
 * @param {Pick<AnnotationIn, "source" | "edited">} mask
 * @returns {boolean} whether it is a proposal that nobody has decided on
 */
export function isProposed({ source, edited }) {
  return source === "proposed" && !edited;
}

/**
 * A mask that a model drew does not become one made by hand when it is edited, and a
 * proposal is thereby taken.
 * @param {Pick<AnnotationIn, "source" | "segmentation">} before
 * @param {Pick<AnnotationIn, "source" | "edited" | "segmentation">} after
 * @returns {Pick<AnnotationIn, "source" | "edited">}
 */
export function sourceAfterEdit(before, { source, edited, segmentation }) {
  if (!DRAWN_BY_MODELS.has(before.source)) return { source, edited };
  return { source: takenSource(before), edited: edited || segmentation.counts !== before.segmentation.counts };
}

/**
 * @param {Pick<AnnotationIn, "source">} mask
 * @returns {AnnotationIn["source"]} once a person has changed something of it
 */
export function takenSource({ source }) {
  return source === "proposed" ? "proposal" : source;
}

/**
 * @param {Pick<import("./state.js").State, "selected" | "crosshair" | "pointer">} state
 * @param {readonly Mask[]} masks
 * @returns {Mask | null} the one that a key is for: under the pointer, or selected
 */
export function targetOf({ selected, crosshair, pointer }, masks) {
  const at = crosshair ?? pointer;
  return (at && maskAt(masks, at)) ?? masks.find(({ uuid }) => uuid === selected) ?? null;
}

/**
 * @param {readonly Mask[]} masks
 * @param {Point} point
 * @returns {Mask | null} the smallest visible one there
 */
export function maskAt(masks, point) {
  const under = masks.filter(({ visible, segmentation }) => visible && covers(countsOf(segmentation), segmentation.size, point));
  return under.sort((a, b) => a.area - b.area)[0] ?? null;
}

/** @param {Segmentation} segmentation */
function countsOf(segmentation) {
  const counts = decoded.get(segmentation) ?? textToCounts(segmentation.counts);
  decoded.set(segmentation, counts);
  return counts;
}
