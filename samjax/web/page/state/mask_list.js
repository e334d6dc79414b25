/**
 * The masks of the open image: what was read, what was made here, and what others
 * changed meanwhile.
 */

/** @typedef {import("../io/backend.js").Annotation} Annotation */
/** @typedef {import("../io/backend.js").AnnotationIn} AnnotationIn */
/** @typedef {import("../io/backend.js").Changes} Changes */
/** @typedef {import("../core/postprocessing.js").Shape} Shape */
/** @typedef {import("../io/outbox.js").Errand} Errand */

/**
 * @typedef {AnnotationIn & {
 *   id: string | null, revision: number, area: number, shape: Shape | null,
 *   visible: boolean, state: "saved" | "unsaved" | "refused", removed: boolean, problem: string | null,
 * }} Mask
 */

export class MaskStore {
  /** @type {Map<string, Mask>} */
  #masks = new Map();
  #imageId = "";
  #send;
  #draw;
  #onChange;
  /** @type {number | null} */
  revision = null;

  /**
   * @param {{send: (errand: Errand) => void, draw: (mask: Mask) => void, onChange: () => void}} given
   */
  constructor({ send, draw, onChange }) {
    this.#send = send;
    this.#draw = draw;
    this.#onChange = onChange;
  }

  /** @returns {Mask[]} in the order they were made, without the removed ones */
  get list() {
    return [...this.#masks.values()].filter(({ removed }) => !removed);
  }

  /**
   * @param {string} uuid
   * @returns {Mask | undefined}
   */
  get(uuid) {
    return this.#masks.get(uuid);
  }

  /**
   * Turns to an image, of which nothing is known but what is still to be sent.
   * @param {string} imageId
   * @param {Errand[]} errands
   */
  open(imageId, errands) {
    this.#imageId = imageId;
    this.#masks.clear();
    this.revision = null;
    for (const { kind, uuid, body } of errands) {
      if (kind === "create") this.#put(/** @type {AnnotationIn} */ (body), null, 0);
      else if (kind === "change") this.#patch(uuid, body);
      else this.#patch(uuid, {}, kind === "remove");
    }
    this.#onChange();
  }

  /**
   * Takes in what the server has. What is changed here and not saved yet stays.
   * @param {Changes} changes
   * @returns {number} how many masks somebody else changed
   */
  merge({ revision, annotations, deleted }) {
    const isFirst = this.revision === null;
    this.revision = revision;
    let foreign = 0;
    for (const annotation of annotations) {
      const mask = this.#masks.get(annotation.uuid);
      if (mask && (mask.state === "unsaved" || mask.revision >= annotation.revision)) {
        mask.id ??= annotation.id;
        continue;
      }
      this.#put(annotation, annotation.id, annotation.revision);
      foreign++;
    }
    for (const mask of this.#masks.values()) {
      if (mask.id && deleted.includes(mask.id) && mask.state === "saved" && !mask.removed) {
        mask.removed = true;
        foreign++;
      }
    }
    if (foreign || isFirst) this.#onChange();
    return isFirst ? 0 : foreign;
  }

  /**
   * @param {AnnotationIn} annotation
   * @param {number} area
   * @param {Shape} shape
   */
  create(annotation, area, shape) {
    const mask = this.#put(annotation, null, 0);
    Object.assign(mask, { area, shape });
    this.#errand("create", mask, annotation);
  }

  /**
   * @param {string} uuid
   * @param {Partial<AnnotationIn>} body
   */
  change(uuid, body) {
    const mask = this.#patch(uuid, body);
    if (mask) this.#errand("change", mask, body);
  }

  /** @param {string} uuid */
  remove(uuid) {
    const mask = this.#patch(uuid, {}, true);
    if (mask) this.#errand("remove", mask, {});
  }

  /** @param {string} uuid */
  restore(uuid) {
    const mask = this.#patch(uuid, {}, false);
    if (mask) this.#errand("restore", mask, {});
  }

  /**
   * Sends a mask that was refused, or lost a conflict, once more as a new one.
   * @param {AnnotationIn} annotation
   */
  copy(annotation) {
    const mask = this.#put(annotation, null, 0);
    this.#errand("create", mask, annotation);
  }

  /**
   * @param {string} uuid
   * @param {Annotation | null} annotation null where it was removed
   * @param {boolean} isLast whether nothing more of this mask waits
   */
  saved(uuid, annotation, isLast) {
    const mask = this.#masks.get(uuid);
    if (!mask) return;
    if (annotation && isLast) this.#put(annotation, annotation.id, annotation.revision);
    else if (annotation) Object.assign(mask, { id: annotation.id, revision: annotation.revision });
    else if (isLast) Object.assign(mask, { state: "saved", problem: null });
    this.#onChange();
  }

  /**
   * @param {string} uuid
   * @param {string} problem
   */
  refused(uuid, problem) {
    const mask = this.#masks.get(uuid);
    if (mask) Object.assign(mask, { state: "refused", problem, removed: false });
    this.#onChange();
  }

  /**
   * Takes what the server has in place of what is here.
   * @param {Annotation} annotation
   */
  replace(annotation) {
    this.#put(annotation, annotation.id, annotation.revision);
    this.#onChange();
  }

  /**
   * @param {string} uuid
   * @param {boolean} visible
   */
  show(uuid, visible) {
    const mask = this.#masks.get(uuid);
    if (mask) mask.visible = visible;
    this.#onChange();
  }

  /**
   * @param {string} uuid
   * @param {number} area
   * @param {Shape} shape
   */
  drawn(uuid, area, shape) {
    const mask = this.#masks.get(uuid);
    if (mask) Object.assign(mask, { area, shape });
    this.#onChange();
  }

  /**
   * @param {AnnotationIn} annotation
   * @param {string | null} id
   * @param {number} revision
   * @returns {Mask}
   */
  #put(annotation, id, revision) {
    const before = this.#masks.get(annotation.uuid);
    /** @type {Mask} */
    const mask = {
      ...annotation,
      id,
      revision,
      area: /** @type {any} */ (annotation).area ?? 0,
      shape: null,
      visible: before?.visible ?? true,
      state: id ? "saved" : "unsaved",
      removed: false,
      problem: null,
    };
    if (before && before.segmentation.counts === mask.segmentation.counts) mask.shape = before.shape;
    this.#masks.set(mask.uuid, mask);
    if (!mask.shape) this.#draw(mask);
    return mask;
  }

  /**
   * @param {string} uuid
   * @param {Partial<AnnotationIn>} body
   * @param {boolean} [removed]
   * @returns {Mask | undefined}
   */
  #patch(uuid, body, removed = false) {
    const mask = this.#masks.get(uuid);
    if (!mask) return undefined;
    Object.assign(mask, body, { state: "unsaved", removed });
    if (body.segmentation) this.#draw(mask);
    return mask;
  }

  /**
   * @param {Errand["kind"]} kind
   * @param {Mask} mask
   * @param {Partial<AnnotationIn>} body
   */
  #errand(kind, { uuid, id, revision }, body) {
    this.#send({ kind, imageId: this.#imageId, uuid, id, revision, body });
    this.#onChange();
  }
}

/**
 * What of a mask is sent and kept.
 * @param {AnnotationIn} mask
 * @returns {AnnotationIn}
 */
export function toAnnotationIn({ uuid, segmentation, label, prompts, score, stability_score, source, edited, level, seconds, author }) {
  return { uuid, segmentation, label, prompts, score, stability_score, source, edited, level, seconds, author };
}
