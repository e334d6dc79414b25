/** Keeps the open image's masks in step with the server's: edits, conflicts, polling. */

import { makeUuid } from "../core/uuid.js";
import { isOfRegion } from "../io/outbox.js";
import { toAnnotationIn } from "./mask_list.js";
import { messageOf } from "./state.js";

/** @typedef {import("../io/backend.js").Backend} Backend */
/** @typedef {import("../io/backend.js").ImageEntry} ImageEntry */
/** @typedef {import("../io/outbox.js").Outbox} Outbox */
/** @typedef {import("../io/outbox.js").PendingEdit} PendingEdit */
/** @typedef {import("./mask_list.js").MaskList} MaskList */
/** @typedef {import("./state.js").Conflict} Conflict */
/** @typedef {import("./state.js").PageStore} PageStore */

export class Sync {
  #store;
  #backend;
  #masks;
  #outbox;
  /** The message that was reported last. @type {string | null} */
  #reported = null;

  /**
   * @param {PageStore} store
   * @param {Pick<Backend, "mode" | "annotations">} backend
   * @param {MaskList} masks
   * @param {Pick<Outbox, "add" | "of" | "discard">} outbox
   */
  constructor(store, backend, masks, outbox) {
    this.#store = store;
    this.#backend = backend;
    this.#masks = masks;
    this.#outbox = outbox;
    store.watch(["image"], ({ image }) => void this.#open(image));
    store.watch(["outbox"], () => this.#reportProblem());
    store.on("saved", ({ edit, annotation, isLast }) => this.#isOpen(edit) && masks.saved(edit.uuid, annotation, isLast));
    store.on("refused", ({ edit, message }) => {
      const isRegion = isOfRegion(edit);
      store.emit("notice", { text: `A ${isRegion ? "region" : "mask"} was not saved: ${message}`, kind: "problem" });
      if (this.#isOpen(edit) && !isRegion) masks.refused(edit.uuid, message);
    });
    store.on("conflict", (conflict) => store.set({ conflicts: [...store.state.conflicts, conflict] }));
  }

  /** Merges the edits of other clients. */
  async poll() {
    const { image } = this.#store.state;
    const { revision } = this.#masks;
    if (!image || this.#backend.mode === "demo" || revision === null) return;
    try {
      const changes = await this.#backend.annotations(image, revision);
      this.#store.set({ isOffline: false });
      if (this.#store.state.image !== image) return;
      const count = this.#masks.merge(changes);
      if (count) this.#store.emit("notice", { text: `${count} ${count === 1 ? "mask was" : "masks were"} changed by somebody else.` });
    } catch {
      this.#store.set({ isOffline: true });
    }
  }

  /**
   * Ends a conflict as the user decides.
   * @param {Conflict} conflict
   * @param {"theirs" | "mine" | "both"} kept
   */
  resolve(conflict, kept) {
    const { edit, current } = conflict;
    this.#store.set({ conflicts: this.#store.state.conflicts.filter((other) => other !== conflict) });
    const own = this.#masks.get(edit.uuid);
    if (kept === "mine") {
      this.#outbox.add({ ...edit, id: current.id, revision: current.revision });
    } else if (this.#isOpen(edit)) {
      this.#masks.replace(current);
      if (kept === "both" && own) this.#masks.create({ ...toAnnotationIn(own), uuid: makeUuid() });
    }
  }

  /** @param {ImageEntry | null} image */
  async #open(image) {
    this.#masks.open(image?.id ?? "", image ? this.#outbox.of(image.id) : []);
    if (!image) return;
    const isOpen = () => this.#store.state.image === image;
    try {
      const changes = await this.#backend.annotations(image, null);
      if (isOpen()) this.#masks.merge(changes);
    } catch (error) {
      const action = { name: "Try again", run: () => void (isOpen() && this.#open(image)) };
      if (isOpen()) this.#store.emit("notice", { text: `Masks were not read: ${messageOf(error)}`, kind: "problem", action });
    }
  }

  /** @param {PendingEdit} edit */
  #isOpen({ imageId }) {
    return imageId === this.#store.state.image?.id;
  }

  /** Reports once why edits are pending, unless the server is merely unreachable. */
  #reportProblem() {
    const { size, problem } = this.#store.state.outbox;
    const message = size && problem?.status ? problem.message : null;
    if (message === this.#reported) return;
    this.#reported = message;
    if (!message) return;
    const imageId = problem?.imageId;
    const action = imageId ? { name: "Discard its edits", run: () => this.#outbox.discard(imageId) } : undefined;
    this.#store.emit("notice", { text: `Not saved yet, and kept in this page: ${message}`, kind: "problem", action });
  }
}
