/**
 * Edits that are not saved yet: sent one by one in their order, retried after failures,
 * and kept over a reload. An edit leaves the queue when it is saved, or when the server
 * rejects its content, which is reported; never because the server was unreachable,
 * wanted another token, or could not store anything.
 *
 * A mask is identified by its uuid, which the page makes. Later edits of a mask that is
 * not created yet get its id and revision from the response. Regions to blur, which have
 * neither, wait in the same queue.
 */

import { Refused } from "./backend.js";

/** @typedef {import("./backend.js").Backend} Backend */
/** @typedef {import("./backend.js").Annotation} Annotation */
/** @typedef {import("./backend.js").AnnotationIn} AnnotationIn */

/**
 * @typedef {object} PendingEdit
 * @property {"create" | "change" | "remove" | "restore" | "addRegion" | "removeRegion"} kind
 * @property {string} imageId
 * @property {string} uuid
 * @property {string | null} id of the annotation, once it has one
 * @property {number} revision
 * @property {Partial<AnnotationIn> & {box?: import("../core/frame.js").Box}} body
 */

/**
 * Why edits are pending.
 * @typedef {object} Problem
 * @property {number} status of HTTP; 0 without a response of samjax
 * @property {string} message
 * @property {string | null} imageId of the image that is unavailable, if that is why
 */

/**
 * @typedef {object} OutboxState
 * @property {number} size edits that are pending
 * @property {boolean} isStuck whether the last attempt failed
 * @property {Problem | null} problem of the last attempt
 */

/** @typedef {{load: () => string | null, save: (text: string) => void}} Shelf */

export class Outbox {
  #store;
  #backend;
  #shelf;
  #pauses;
  /** @type {PendingEdit[]} */
  #edits = [];
  #isSending = false;
  #failures = 0;
  /** @type {Problem | null} */
  #problem = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /**
   * @param {import("../state/state.js").PageStore} store
   * @param {Pick<Backend, "create" | "change" | "remove" | "restore"> & Partial<Pick<Backend, "regions">>} backend
   * @param {Shelf} shelf where edits survive a reload
   * @param {number[]} [pauses] between attempts, in milliseconds; the last one repeats
   */
  constructor(store, backend, shelf, pauses = [1000, 2000, 4000, 8000, 15000, 30000]) {
    this.#store = store;
    this.#backend = backend;
    this.#shelf = shelf;
    this.#pauses = pauses;
    try {
      const edits = JSON.parse(shelf.load() ?? "[]");
      if (Array.isArray(edits)) this.#edits = edits;
    } catch {
      // Damaged text cannot be recovered.
    }
    store.on("edit", (edit) => this.add(edit));
    this.#publish();
  }

  /**
   * @param {string} imageId
   * @returns {PendingEdit[]} edits of an image's masks
   */
  of(imageId) {
    return this.#edits.filter((edit) => edit.imageId === imageId && !isOfRegion(edit));
  }

  /**
   * @param {string} imageId
   * @returns {PendingEdit[]} edits of an image's regions to blur
   */
  ofRegions(imageId) {
    return this.#edits.filter((edit) => edit.imageId === imageId && isOfRegion(edit));
  }

  /** @param {PendingEdit} edit */
  add(edit) {
    this.#edits.push(edit);
    this.#changed();
    void this.send();
  }

  /**
   * Drops the edits of an image, on a user's request.
   * @param {string} imageId
   */
  discard(imageId) {
    this.#edits = this.#edits.filter((edit) => edit.imageId !== imageId);
    this.#changed();
  }

  /** Sends all pending edits now. */
  async send() {
    clearTimeout(this.#timer);
    if (this.#isSending) return;
    this.#isSending = true;
    /** Images that are unavailable for now. @type {Set<string>} */
    const aside = new Set();
    for (;;) {
      const edit = this.#edits.find(({ imageId }) => !aside.has(imageId));
      if (!edit) break;
      const refused = await this.#sendOne(edit);
      if (!refused) this.#failures = 0;
      else if (concernsImage(edit, refused)) aside.add(edit.imageId);
      else break;
    }
    this.#isSending = false;
    if (this.#edits.length) {
      this.#failures++;
      const pause = this.#pauses[Math.min(this.#failures, this.#pauses.length) - 1];
      this.#timer = setTimeout(() => this.send(), pause);
    } else {
      this.#problem = null;
    }
    this.#publish();
  }

  /**
   * @param {PendingEdit} edit
   * @returns {Promise<Refused | null>} why it stays in the queue, if it does
   */
  async #sendOne(edit) {
    try {
      const annotation = await this.#deliver(edit);
      this.#drop(edit);
      if (annotation) this.#identify(edit.uuid, annotation);
      const isLast = !this.#edits.some(({ uuid, imageId }) => uuid === edit.uuid && imageId === edit.imageId);
      this.#store.emit("saved", { edit, annotation, isLast });
    } catch (error) {
      const refused = error instanceof Refused ? error : new Refused(0, String(error));
      const { status, message } = refused;
      const isImage = concernsImage(edit, refused);
      if (refused.isTemporary || isImage) {
        this.#problem = { status, message, imageId: isImage ? edit.imageId : null };
        return refused;
      }
      this.#drop(edit);
      const current = refused.body?.annotation ?? refused.body?.error?.annotation;
      if (refused.status === 409 && current) this.#store.emit("conflict", { edit, current });
      else this.#store.emit("refused", { edit, message });
    }
    return null;
  }

  /**
   * @param {PendingEdit} edit
   * @returns {Promise<Annotation | null>} the mask as it is stored; null where it was removed
   */
  async #deliver(edit) {
    const { kind, imageId, id, revision, body } = edit;
    if (isOfRegion(edit)) return this.#deliverRegion(edit);
    if (kind === "create") return this.#backend.create(imageId, /** @type {AnnotationIn} */ (body));
    if (!id) throw new Refused(404, "This mask was never saved.");
    if (kind === "change") return this.#backend.change(id, revision, body);
    if (kind === "restore") return this.#backend.restore(id);
    await this.#backend.remove(id, revision);
    return null;
  }

  /**
   * @param {PendingEdit} edit
   * @returns {Promise<null>}
   */
  async #deliverRegion({ kind, imageId, uuid, body: { box, author } }) {
    const { regions } = this.#backend;
    if (!regions) throw new Refused(404, "There is no server that keeps regions.");
    if (kind === "addRegion" && box) {
      await regions.add(imageId, { uuid, box }, author ?? "");
      return null;
    }
    try {
      await regions.remove(uuid);
    } catch (error) {
      // One that was refused, or is of an image that was removed, is not there either.
      if (!(error instanceof Refused && error.status === 404)) throw error;
    }
    return null;
  }

  /**
   * Writes id and revision into the pending edits of a mask.
   * @param {string} uuid
   * @param {Annotation} annotation
   */
  #identify(uuid, { id, revision }) {
    for (const edit of this.#edits) if (edit.uuid === uuid) Object.assign(edit, { id, revision });
    this.#changed();
  }

  /** @param {PendingEdit} edit that may have been discarded meanwhile */
  #drop(edit) {
    this.#edits = this.#edits.filter((other) => other !== edit);
    this.#changed();
  }

  #changed() {
    this.#shelf.save(JSON.stringify(this.#edits));
    this.#publish();
  }

  #publish() {
    const isStuck = this.#failures > 0;
    this.#store.set({ outbox: { size: this.#edits.length, isStuck, problem: this.#problem } });
  }
}

/**
 * @param {Pick<PendingEdit, "kind">} edit
 * @returns {boolean} whether it is of a region to blur, rather than of a mask
 */
export function isOfRegion({ kind }) {
  return kind === "addRegion" || kind === "removeRegion";
}

/**
 * @param {PendingEdit} edit
 * @param {Refused} refused
 * @returns {boolean} whether the image is unavailable, rather than the mask rejected
 */
function concernsImage({ kind }, refused) {
  const isNew = kind === "create" || kind === "addRegion";
  return refused.concernsImage || (isNew && refused.status === 404);
}
