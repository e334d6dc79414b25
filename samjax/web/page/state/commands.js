/** What people do with masks once they are made: accept, label, edit, delete; all can be undone. */

import { announce, messageOf, notify } from "../ui/notices.js";
import { toAnnotationIn } from "./mask_list.js";
import { NO_PROMPT } from "../core/prompts.js";
import { makeUuid } from "../core/uuid.js";

/** @typedef {import("./editor.js").Editor} Editor */
/** @typedef {import("./mask_list.js").MaskStore} MaskStore */
/** @typedef {import("./labels.js").Labels} Labels */
/** @typedef {import("./proposals.js").Found} Found */

export class MaskActions {
  /**
   * @param {{editor: Editor, store: MaskStore, labels: Labels, found: Found}} given
   */
  constructor({ editor, store, labels, found }) {
    this.editor = editor;
    this.store = store;
    this.labels = labels;
    this.found = found;
  }

  /** Keeps the mask that is being made. */
  async accept() {
    const done = await this.editor.finish(this.labels.current).catch((error) => {
      notify(messageOf(error), { kind: "problem" });
      return null;
    });
    if (!done) return;
    const { annotation, kept, editing, session } = done;
    const { store } = this;
    const { uuid } = annotation;
    const before = editing ? store.get(editing) : undefined;
    this.labels.use(annotation.label);
    if (before) {
      const old = toChanges(before);
      const changes = toChanges({ ...annotation, seconds: before.seconds + annotation.seconds });
      const redo = () => (this.editor.restore(null), store.change(uuid, changes));
      this.editor.history.push({ name: "changing a mask", undo: () => (store.change(uuid, old), this.editor.restore(session)), redo });
      store.change(uuid, changes);
    } else {
      const redo = () => (this.editor.restore(null), store.restore(uuid));
      this.editor.history.push({ name: "accepting", undo: () => (store.remove(uuid), this.editor.restore(session)), redo });
      store.create(annotation, kept.area, kept.shape);
    }
    announce(`Mask ${store.list.length} accepted${annotation.label ? ` as ${annotation.label}` : ""}.`);
  }

  acceptAll() {
    const { store } = this;
    const made = this.found.take().map(({ kept, score, stability, point }) => {
      const uuid = makeUuid();
      const prompts = { points: point ? [point] : [], labels: point ? [/** @type {const} */ (1)] : [], box: null, mask: false, text: null };
      store.create(
        { uuid, segmentation: kept.segmentation, label: "", prompts, score, stability_score: stability, source: "everything", edited: false, level: null, seconds: 0, author: "" },
        kept.area,
        kept.shape,
      );
      return uuid;
    });
    this.editor.history.push({
      name: `accepting ${made.length} masks`,
      undo: () => made.forEach((uuid) => store.remove(uuid)),
      redo: () => made.forEach((uuid) => store.restore(uuid)),
    });
    announce(`${made.length} masks accepted.`);
  }

  /**
   * @param {string} uuid
   * @param {string} label
   */
  relabel(uuid, label) {
    const { store } = this;
    const old = store.get(uuid)?.label;
    if (old === undefined || old === label) return;
    this.labels.use(label);
    this.editor.history.push({ name: "a label", undo: () => store.change(uuid, { label: old }), redo: () => store.change(uuid, { label }) });
    store.change(uuid, { label });
  }

  /**
   * Takes a mask up again.
   * @param {string} uuid
   * @returns {boolean} whether it could
   */
  edit(uuid) {
    const mask = this.store.get(uuid);
    if (!mask?.shape || !this.editor.isReady) return false;
    const { prompts, segmentation, area, shape, label, source, edited, score, stability_score: stability, level } = mask;
    this.labels.current = label;
    const given = { editing: uuid, source, edited, score, stability, level };
    // Its points show, and the mask stays as it is until something is added.
    const { points, labels, box } = prompts;
    this.editor.take({ segmentation, area, shape }, { ...given, prompt: { ...NO_PROMPT, points, labels, box } }, "editing");
    return true;
  }

  /** @param {string} uuid */
  remove(uuid) {
    const { store } = this;
    if (!store.get(uuid)) return;
    if (this.editor.session.editing === uuid) this.editor.discard();
    this.editor.history.push({ name: "deleting a mask", undo: () => store.restore(uuid), redo: () => store.remove(uuid) });
    store.remove(uuid);
    notify("Mask deleted.", { action: { name: "Undo", run: () => this.editor.history.undo() } });
  }

  /**
   * Sends a mask that was refused once more.
   * @param {string} uuid
   */
  retry(uuid) {
    const mask = this.store.get(uuid);
    if (mask?.id) this.store.change(uuid, toChanges(mask));
    else if (mask) this.store.copy(toAnnotationIn(mask));
  }
}

/** @param {import("../io/backend.js").AnnotationIn} mask */
function toChanges(mask) {
  const { uuid: _uuid, ...changes } = toAnnotationIn(mask);
  return changes;
}
