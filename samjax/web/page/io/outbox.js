/**
 * What is on its way to being saved, in order: sent one by one, again where it did not
 * get through, and kept over a reload. It is dropped when it is saved, or when the
 * server refuses what it is, and told so; never because the server was away, asked for
 * another token, or could not store anything.
 *
 * A mask is known by its uuid, which the page made; a later change of one that is not
 * created yet learns its id and revision from the answer.
 */

import { Refused } from "./backend.js";

/** @typedef {import("./backend.js").Backend} Backend */
/** @typedef {import("./backend.js").Annotation} Annotation */
/** @typedef {import("./backend.js").AnnotationIn} AnnotationIn */

/**
 * @typedef {object} Errand
 * @property {"create" | "change" | "remove" | "restore"} kind
 * @property {string} imageId
 * @property {string} uuid
 * @property {string | null} id of the annotation, once it has one
 * @property {number} revision
 * @property {Partial<AnnotationIn>} body
 */

/**
 * @typedef {object} Listener
 * @property {(errand: Errand, annotation: Annotation | null) => void} onSaved
 * @property {(errand: Errand, current: Annotation) => void} onConflict
 * @property {(errand: Errand, message: string) => void} onRefused
 * @property {() => void} onChange of how many wait, or of whether they can be sent
 */

/**
 * @typedef {object} Problem why something waits
 * @property {number} status 0 where nothing answered
 * @property {string} message
 * @property {string | null} imageId of the image that is not to be had, if it is that
 */

/** @typedef {{load: () => string | null, save: (text: string) => void}} Shelf */

export class Outbox {
  #backend;
  #listener;
  #shelf;
  #pauses;
  /** @type {Errand[]} */
  #errands = [];
  #busy = false;
  #failures = 0;
  /** @type {Problem | null} */
  #problem = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /**
   * @param {Pick<Backend, "create" | "change" | "remove" | "restore">} backend
   * @param {Listener} listener
   * @param {Shelf} shelf where errands survive a reload
   * @param {number[]} [pauses] between attempts, in milliseconds
   */
  constructor(backend, listener, shelf, pauses = [1000, 2000, 4000, 8000, 15000, 30000]) {
    this.#backend = backend;
    this.#listener = listener;
    this.#shelf = shelf;
    this.#pauses = pauses;
    try {
      const kept = JSON.parse(shelf.load() ?? "[]");
      if (Array.isArray(kept)) this.#errands = kept;
    } catch {
      // Damaged notes help nobody.
    }
  }

  /** @returns {number} */
  get size() {
    return this.#errands.length;
  }

  /** Whether the last attempt failed. */
  get isStuck() {
    return this.#failures > 0;
  }

  /** Why the last attempt failed. */
  get problem() {
    return this.#problem;
  }

  /**
   * @param {string} imageId
   * @returns {Errand[]}
   */
  of(imageId) {
    return this.#errands.filter((errand) => errand.imageId === imageId);
  }

  /** @param {Errand} errand */
  add(errand) {
    this.#errands.push(errand);
    this.#changed();
    void this.send();
  }

  /**
   * Gives up what waits of an image: a person says so.
   * @param {string} imageId
   */
  discard(imageId) {
    this.#errands = this.#errands.filter((errand) => errand.imageId !== imageId);
    this.#changed();
  }

  /** Sends what waits, now. */
  async send() {
    clearTimeout(this.#timer);
    if (this.#busy) return;
    this.#busy = true;
    /** Images of which nothing is taken for now. @type {Set<string>} */
    const aside = new Set();
    for (;;) {
      const errand = this.#errands.find(({ imageId }) => !aside.has(imageId));
      if (!errand) break;
      const refused = await this.#sendOne(errand);
      if (!refused) this.#failures = 0;
      else if (isOfTheImage(errand, refused)) aside.add(errand.imageId);
      else break;
    }
    this.#busy = false;
    if (this.#errands.length) {
      this.#failures++;
      const pause = this.#pauses[Math.min(this.#failures, this.#pauses.length) - 1];
      this.#timer = setTimeout(() => this.send(), pause);
    } else {
      this.#problem = null;
    }
    this.#listener.onChange();
  }

  /**
   * @param {Errand} errand
   * @returns {Promise<Refused | null>} why it has to wait, if it has to
   */
  async #sendOne(errand) {
    try {
      const annotation = await this.#deliver(errand);
      this.#take(errand);
      if (annotation) this.#tell(errand.uuid, annotation);
      this.#listener.onSaved(errand, annotation);
    } catch (error) {
      const refused = error instanceof Refused ? error : new Refused(0, String(error));
      const { status, message } = refused;
      const isOfOne = isOfTheImage(errand, refused);
      if (refused.isPassing || isOfOne) {
        this.#problem = { status, message, imageId: isOfOne ? errand.imageId : null };
        return refused;
      }
      this.#take(errand);
      const current = refused.body?.annotation ?? refused.body?.error?.annotation;
      if (refused.status === 409 && current) this.#listener.onConflict(errand, current);
      else this.#listener.onRefused(errand, refused.message);
    }
    return null;
  }

  /**
   * @param {Errand} errand
   * @returns {Promise<Annotation | null>}
   */
  async #deliver({ kind, imageId, id, revision, body }) {
    if (kind === "create") return this.#backend.create(imageId, /** @type {AnnotationIn} */ (body));
    if (!id) throw new Refused(404, "This mask was never saved.");
    if (kind === "change") return this.#backend.change(id, revision, body);
    if (kind === "restore") return this.#backend.restore(id);
    await this.#backend.remove(id, revision);
    return null;
  }

  /**
   * @param {string} uuid
   * @param {Annotation} annotation
   */
  #tell(uuid, { id, revision }) {
    for (const errand of this.#errands) if (errand.uuid === uuid) Object.assign(errand, { id, revision });
    this.#changed();
  }

  /** @param {Errand} errand */
  #take(errand) {
    // It may have been given up meanwhile.
    this.#errands = this.#errands.filter((one) => one !== errand);
    this.#changed();
  }

  #changed() {
    this.#shelf.save(JSON.stringify(this.#errands));
    this.#listener.onChange();
  }
}

/**
 * Whether it is the image that is not to be had, and not the mask that is refused.
 * @param {Errand} errand
 * @param {Refused} refused
 * @returns {boolean}
 */
function isOfTheImage({ kind }, refused) {
  return refused.isOfTheImage || (kind === "create" && refused.status === 404);
}
