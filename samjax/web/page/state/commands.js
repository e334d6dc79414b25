/** The commands of toolbar, panels and keys. Those that change masks can be undone. */

import { fromRecorded, NO_PROMPT } from "../core/prompts.js";
import { makeUuid } from "../core/uuid.js";
import { isProposed, sourceAfterEdit, takenSource } from "./decisions.js";
import { addEffort } from "./effort.js";
import { toAnnotationIn } from "./mask_list.js";
import { isBlank } from "./session.js";
import { messageOf } from "./state.js";

/** @typedef {import("../core/frame.js").Point} Point */
/** @typedef {import("../io/backend.js").ImageEntry} ImageEntry */
/** @typedef {import("./state.js").PageStore} PageStore */
/** @typedef {import("./state.js").Tool} Tool */

const BRUSH_RADII = /** @type {const} */ ([2, 80]);

export class Commands {
  #store;
  #editor;
  #masks;
  #proposals;
  #labels;
  #history;

  /**
   * @param {PageStore} store
   * @param {{editor: import("./editor.js").Editor, masks: import("./mask_list.js").MaskList, proposals: import("./proposals.js").Proposals, labels: import("./labels.js").Labels, history: import("./history.js").History}} parts
   */
  constructor(store, { editor, masks, proposals, labels, history }) {
    this.#store = store;
    this.#editor = editor;
    this.#masks = masks;
    this.#proposals = proposals;
    this.#labels = labels;
    this.#history = history;
  }

  /** @param {ImageEntry | null} image null for the gallery */
  open(image) {
    this.#store.set({ isReady: false, progress: null, selected: null, highlighted: null, crosshair: null, pointer: null, draggedBox: null, stroke: null, image });
  }

  /** @param {Tool} tool */
  chooseTool(tool) {
    this.#store.set({ tool });
    if (tool !== "add" && tool !== "box") void this.#editor.hover(null);
  }

  /** @param {number} radius of the brush, in CSS pixels */
  setBrush(radius) {
    const [least, most] = BRUSH_RADII;
    this.#store.set({ brushRadius: Math.round(Math.min(most, Math.max(least, radius))) });
  }

  undo() {
    const name = this.#history.undo();
    this.#announce(name ? `Undone: ${name}.` : "Nothing to undo.");
  }

  redo() {
    const name = this.#history.redo();
    this.#announce(name ? `Redone: ${name}.` : "Nothing to redo.");
  }

  /** Stores the mask that is being made. */
  async accept() {
    this.#store.set({ crosshair: null });
    const finished = await this.#editor.finish(this.#store.state.label).catch((error) => {
      this.#store.emit("notice", { text: messageOf(error), kind: "problem" });
      return null;
    });
    if (!finished) return;
    const { annotation, mask, session } = finished;
    const before = session.editing ? this.#masks.get(session.editing) : undefined;
    if (before) this.#acceptEdit(before, annotation, mask, session);
    else this.#acceptNew(annotation, mask, session);
    this.#labels.use(annotation.label);
    this.#announce(`Mask ${this.#store.state.masks.length} accepted${annotation.label ? ` as ${annotation.label}` : ""}.`);
  }

  /**
   * @param {import("../io/backend.js").AnnotationIn} annotation
   * @param {import("../core/postprocessing.js").FullMask} mask
   * @param {import("./session.js").Session} session that made it: undo returns to it
   */
  #acceptNew(annotation, mask, session) {
    const { uuid } = annotation;
    this.#masks.create(annotation, mask);
    this.#history.push({
      name: "accepting",
      undo: () => {
        this.#masks.remove(uuid);
        this.#editor.restore(session);
      },
      redo: () => {
        this.#editor.restore(null);
        this.#masks.restore(uuid);
      },
    });
  }

  /**
   * @param {import("./mask_list.js").Mask} before
   * @param {import("../io/backend.js").AnnotationIn} annotation
   * @param {import("../core/postprocessing.js").FullMask} mask
   * @param {import("./session.js").Session} session
   */
  #acceptEdit(before, annotation, mask, session) {
    const { uuid } = before;
    const old = toChanges(before);
    const changes = toChanges({ ...annotation, ...sourceAfterEdit(before, annotation), ...addEffort(before, annotation) });
    this.#masks.change(uuid, changes, mask);
    this.#history.push({
      name: "changing a mask",
      undo: () => {
        this.#masks.change(uuid, old);
        this.#editor.restore(session);
      },
      redo: () => {
        this.#editor.restore(null);
        this.#masks.change(uuid, changes);
      },
    });
  }

  /** Stores all proposals of everything mode. */
  acceptAll() {
    const uuids = this.#proposals.takeAll().map(({ mask, score, stability, point }) => {
      const uuid = makeUuid();
      const prompts = { ...promptAt(point), mask: false };
      this.#masks.create(
        { uuid, segmentation: mask.segmentation, label: "", prompts, score, stability_score: stability, source: "everything", edited: false, level: null, seconds: 0, author: "" },
        mask,
      );
      return uuid;
    });
    this.#history.push({
      name: `accepting ${uuids.length} masks`,
      undo: () => uuids.forEach((uuid) => this.#masks.remove(uuid)),
      redo: () => uuids.forEach((uuid) => this.#masks.restore(uuid)),
    });
    this.#announce(`${uuids.length} masks accepted.`);
  }

  /**
   * Starts a session from the proposal at a point.
   * @param {Point} at
   */
  takeProposal(at) {
    const proposal = this.#proposals.takeAt(at);
    if (!proposal) return;
    const { mask, score, stability, point } = proposal;
    this.#editor.start(mask, { source: "everything", score, stability, prompt: promptAt(point) }, "taking a mask");
  }

  /**
   * @param {string} uuid
   * @param {string} label
   */
  relabel(uuid, label) {
    const mask = this.#masks.get(uuid);
    if (!mask || mask.label === label) return;
    const old = { label: mask.label, source: mask.source };
    // Who names a proposal takes it.
    const changes = { label, source: takenSource(mask) };
    this.#labels.use(label);
    this.#masks.change(uuid, changes);
    this.#history.push({ name: "a label", undo: () => this.#masks.change(uuid, old), redo: () => this.#masks.change(uuid, changes) });
  }

  /** @param {string} label for the selected mask, or for the next one */
  setLabel(label) {
    const { selected, session } = this.#store.state;
    if (selected && isBlank(session)) this.relabel(selected, label);
    else this.#store.set({ label });
  }

  /** @param {string | null} uuid */
  select(uuid) {
    this.#store.set({ selected: uuid });
  }

  /** @param {string | null} uuid of the mask under the pointer in the list */
  highlight(uuid) {
    this.#store.set({ highlighted: uuid });
  }

  /** @returns {boolean} whether there is a mask to select */
  selectNext() {
    const { masks, selected } = this.#store.state;
    // As the list shows them: the newest first.
    const uuids = masks.map(({ uuid }) => uuid).reverse();
    if (uuids.length) this.select(uuids[(uuids.indexOf(selected ?? "") + 1) % uuids.length]);
    return uuids.length > 0;
  }

  /**
   * Starts a session from a stored mask.
   * @param {string} uuid
   * @returns {boolean} whether it could be started
   */
  edit(uuid) {
    const mask = this.#masks.get(uuid);
    const { isReady, tool } = this.#store.state;
    if (!mask?.shape || !isReady) return false;
    const { prompts, segmentation, area, shape, label, source, edited, score, stability_score: stability, level } = mask;
    // Its points show, and the mask stays as it is until a prompt is added.
    const values = { editing: uuid, source, edited, score, stability, level, prompt: fromRecorded(prompts) };
    this.#editor.start({ segmentation, area, shape }, values, "editing");
    this.#store.set({ label, selected: null });
    if (tool === "hand" || tool === "everything") this.chooseTool("add");
    return true;
  }

  /** @param {string} uuid */
  remove(uuid) {
    const { selected, session } = this.#store.state;
    const mask = this.#masks.get(uuid);
    if (!mask) return;
    if (selected === uuid) this.select(null);
    if (session.editing === uuid) this.#editor.discard();
    this.#masks.remove(uuid);
    this.#history.push({ name: "deleting a mask", undo: () => this.#masks.restore(uuid), redo: () => this.#masks.remove(uuid) });
    this.#store.emit("notice", { text: isProposed(mask) ? "Proposal rejected." : "Mask deleted.", action: { name: "Undo", run: () => this.undo() } });
  }

  /**
   * Sends a refused mask again.
   * @param {string} uuid
   */
  retry(uuid) {
    const mask = this.#masks.get(uuid);
    if (mask?.id) this.#masks.change(uuid, toChanges(mask));
    else if (mask) this.#masks.create(toAnnotationIn(mask));
  }

  /** Hides all masks, or shows all where all are hidden. */
  toggleAll() {
    const { masks } = this.#store.state;
    this.#masks.show(masks.map(({ uuid }) => uuid), masks.every(({ visible }) => !visible));
  }

  /** Discards the session; without one, the selection; without that, the proposals. */
  escape() {
    const { session, selected, proposals } = this.#store.state;
    if (!isBlank(session) || session.editing) this.#editor.discard();
    else if (selected) this.select(null);
    else if (proposals.length) this.#proposals.clear();
    this.#store.set({ crosshair: null });
  }

  /** @param {string} text */
  #announce(text) {
    this.#store.emit("announcement", text);
  }
}

/** @param {Point | null} point */
function promptAt(point) {
  return point ? { ...NO_PROMPT, points: [point], labels: [/** @type {const} */ (1)] } : { ...NO_PROMPT, points: [], labels: [] };
}

/** @param {import("../io/backend.js").AnnotationIn} mask */
function toChanges(mask) {
  const { uuid: _uuid, ...changes } = toAnnotationIn(mask);
  return changes;
}
