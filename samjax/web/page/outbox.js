/**
 * What is on its way to being saved, in order: sent one by one, again where the network
 * failed, and kept over a reload.
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
      this.#errands = JSON.parse(shelf.load() ?? "[]");
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

  /** Sends what waits, now. */
  async send() {
    clearTimeout(this.#timer);
    if (this.#busy) return;
    this.#busy = true;
    while (this.#errands.length && (await this.#sendFirst()));
    this.#busy = false;
    if (this.#errands.length) {
      const pause = this.#pauses[Math.min(this.#failures, this.#pauses.length) - 1];
      this.#timer = setTimeout(() => this.send(), pause);
    }
  }

  /** @returns {Promise<boolean>} whether to go on */
  async #sendFirst() {
    const errand = this.#errands[0];
    try {
      const annotation = await this.#deliver(errand);
      this.#failures = 0;
      this.#take(errand);
      if (annotation) this.#tell(errand.uuid, annotation);
      this.#listener.onSaved(errand, annotation);
    } catch (error) {
      const refused = error instanceof Refused ? error : new Refused(0, String(error));
      if (refused.isPassing) {
        this.#failures++;
        this.#listener.onChange();
        return false;
      }
      this.#failures = 0;
      this.#take(errand);
      const current = refused.body?.annotation ?? refused.body?.error?.annotation;
      if (refused.status === 409 && current) this.#listener.onConflict(errand, current);
      else this.#listener.onRefused(errand, refused.message);
    }
    return true;
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
    this.#errands.splice(this.#errands.indexOf(errand), 1);
    this.#changed();
  }

  #changed() {
    this.#shelf.save(JSON.stringify(this.#errands));
    this.#listener.onChange();
  }
}
