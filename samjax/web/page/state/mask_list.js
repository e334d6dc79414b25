/**
 * The masks of the open image: those of the server, those made here, and what other
 * clients changed meanwhile. Masks are immutable; the store has the list of them.
 */

/** @typedef {import("../io/backend.js").Annotation} Annotation */
/** @typedef {import("../io/backend.js").AnnotationIn} AnnotationIn */
/** @typedef {import("../io/backend.js").Changes} Changes */
/** @typedef {import("../core/postprocessing.js").Shape} Shape */
/** @typedef {import("../io/outbox.js").PendingEdit} PendingEdit */
/** @typedef {import("./state.js").PageStore} PageStore */

/**
 * @typedef {Readonly<AnnotationIn & {
 *   id: string | null, revision: number, area: number, shape: Shape | null, traced: string | null,
 *   visible: boolean, state: "saved" | "unsaved" | "refused", removed: boolean, problem: string | null,
 * }>} Mask
 */
// `traced` are the counts that area and shape were measured on: others are still shown
// while a changed mask is traced anew.

/** @typedef {{area: number, shape: Shape}} Traced */

export class MaskList {
  #store;
  /** The removed ones included: they can be restored. @type {Map<string, Mask>} */
  #masks = new Map();
  #imageId = "";
  /** Revision of the server's that is known; null before its masks are there. @type {number | null} */
  revision = null;

  /** @param {PageStore} store */
  constructor(store) {
    this.#store = store;
  }

  /**
   * @param {string} uuid
   * @returns {Mask | undefined}
   */
  get(uuid) {
    return this.#masks.get(uuid);
  }

  /**
   * Replaces the list by that of another image, as far as unsaved edits have it.
   * @param {string} imageId
   * @param {PendingEdit[]} edits
   */
  open(imageId, edits) {
    this.#imageId = imageId;
    this.#masks.clear();
    this.revision = null;
    for (const { kind, uuid, body } of edits) {
      if (kind === "create") this.#put(/** @type {AnnotationIn} */ (body), null, 0);
      else this.#patch(uuid, kind === "change" ? body : {}, kind === "remove");
    }
    this.#publish();
  }

  /**
   * Takes over the server's masks, except where an edit of this page is not saved yet.
   * @param {Changes} changes
   * @returns {number} how many masks another client changed
   */
  merge({ revision, annotations, deleted }) {
    const isFirst = this.revision === null;
    this.revision = revision;
    let foreign = 0;
    for (const annotation of annotations) {
      const mask = this.#masks.get(annotation.uuid);
      if (mask && (mask.state === "unsaved" || mask.revision >= annotation.revision)) {
        if (!mask.id) this.#update(mask.uuid, { id: annotation.id });
        continue;
      }
      this.#put(annotation, annotation.id, annotation.revision);
      foreign++;
    }
    for (const mask of this.#masks.values()) {
      if (mask.id && deleted.includes(mask.id) && mask.state === "saved" && !mask.removed) {
        this.#update(mask.uuid, { removed: true });
        foreign++;
      }
    }
    this.#publish();
    return isFirst ? 0 : foreign;
  }

  /**
   * Adds a mask, to be saved.
   * @param {AnnotationIn} annotation
   * @param {Traced} [traced] where it is known already
   */
  create(annotation, traced) {
    annotation = { ...annotation, author: annotation.author || this.#store.state.person };
    this.#put(annotation, null, 0, traced);
    this.#edit("create", annotation.uuid, annotation);
  }

  /**
   * @param {string} uuid
   * @param {Partial<AnnotationIn>} body
   * @param {Traced} [traced] of the new segmentation, where it is known already
   */
  change(uuid, body, traced) {
    if (this.#patch(uuid, { ...body, ...tracedBy(traced, body) })) this.#edit("change", uuid, body);
  }

  /** @param {string} uuid */
  remove(uuid) {
    if (this.#patch(uuid, {}, true)) this.#edit("remove", uuid, {});
  }

  /** @param {string} uuid */
  restore(uuid) {
    if (this.#patch(uuid, {}, false)) this.#edit("restore", uuid, {});
  }

  /**
   * Marks an edit as saved.
   * @param {string} uuid
   * @param {Annotation | null} annotation as the server has it; null where it was removed
   * @param {boolean} isLast whether no other edit of this mask is pending
   */
  saved(uuid, annotation, isLast) {
    if (!this.#masks.has(uuid)) return;
    if (annotation && isLast) this.#put(annotation, annotation.id, annotation.revision);
    else if (annotation) this.#update(uuid, { id: annotation.id, revision: annotation.revision });
    else if (isLast) this.#update(uuid, { state: "saved", problem: null });
    this.#publish();
  }

  /**
   * Marks a mask as one that the server rejects.
   * @param {string} uuid
   * @param {string} problem
   */
  refused(uuid, problem) {
    this.#update(uuid, { state: "refused", problem, removed: false });
    this.#publish();
  }

  /**
   * Replaces a mask by the server's.
   * @param {Annotation} annotation
   */
  replace(annotation) {
    this.#put(annotation, annotation.id, annotation.revision);
    this.#publish();
  }

  /**
   * @param {string[]} uuids
   * @param {boolean} visible
   */
  show(uuids, visible) {
    for (const uuid of uuids) this.#update(uuid, { visible });
    this.#publish();
  }

  /**
   * Adds area and outline to a mask, unless it has been changed meanwhile.
   * @param {string} uuid
   * @param {{segmentation: {counts: string}, area: number, shape: Shape}} traced
   */
  trace(uuid, { segmentation, area, shape }) {
    if (this.#masks.get(uuid)?.segmentation.counts !== segmentation.counts) return;
    this.#update(uuid, { area, shape, traced: segmentation.counts });
    this.#publish();
  }

  /**
   * @param {AnnotationIn} annotation
   * @param {string | null} id
   * @param {number} revision
   * @param {Traced} [traced]
   */
  #put(annotation, id, revision, traced) {
    const before = this.#masks.get(annotation.uuid);
    const isSame = before?.segmentation.counts === annotation.segmentation.counts;
    this.#masks.set(annotation.uuid, {
      ...annotation,
      id,
      revision,
      area: /** @type {any} */ (annotation).area ?? (isSame ? before.area : 0),
      shape: isSame ? before.shape : null,
      traced: isSame ? before.traced : null,
      visible: before?.visible ?? true,
      state: id ? "saved" : "unsaved",
      removed: false,
      problem: null,
      ...tracedBy(traced, annotation),
    });
  }

  /**
   * @param {string} uuid
   * @param {Partial<Mask>} changes
   * @param {boolean} [removed]
   * @returns {boolean} whether there is such a mask
   */
  #patch(uuid, changes, removed = false) {
    return this.#update(uuid, { ...changes, state: "unsaved", removed });
  }

  /**
   * @param {string} uuid
   * @param {Partial<Mask>} changes
   * @returns {boolean}
   */
  #update(uuid, changes) {
    const mask = this.#masks.get(uuid);
    if (mask) this.#masks.set(uuid, { ...mask, ...changes });
    return mask !== undefined;
  }

  #publish() {
    this.#store.set({ masks: [...this.#masks.values()].filter(({ removed }) => !removed) });
  }

  /**
   * @param {PendingEdit["kind"]} kind
   * @param {string} uuid
   * @param {Partial<AnnotationIn>} body
   */
  #edit(kind, uuid, body) {
    const { id, revision } = /** @type {Mask} */ (this.#masks.get(uuid));
    this.#publish();
    this.#store.emit("edit", { kind, imageId: this.#imageId, uuid, id, revision, body });
  }
}

/**
 * @param {Traced | undefined} traced
 * @param {Partial<AnnotationIn>} annotation that it was traced on
 * @returns {Partial<Mask>} empty where it is not known
 */
function tracedBy(traced, { segmentation }) {
  return traced && segmentation ? { area: traced.area, shape: traced.shape, traced: segmentation.counts } : {};
}

/**
 * @param {AnnotationIn} mask
 * @returns {AnnotationIn} the fields that are sent and stored
 */
export function toAnnotationIn(mask) {
  const { uuid, segmentation, label, prompts, score, stability_score, source, edited, level, seconds, author } = mask;
  const { active_seconds = null, clicks = null, strokes = null, undos = null } = mask;
  return { uuid, segmentation, label, prompts, score, stability_score, source, edited, level, seconds, author, active_seconds, clicks, strokes, undos };
}
