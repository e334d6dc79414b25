/** Undo and redo: one list of steps, each with its inverse. */

/** @typedef {import("./state.js").PageStore} PageStore */

/**
 * @typedef {object} Step
 * @property {string} name announced when it is undone
 * @property {() => void} undo
 * @property {() => void} redo
 */

const MAX_STEPS = 500;

export class History {
  #store;
  /** @type {Step[]} */
  #past = [];
  /** @type {Step[]} */
  #future = [];

  /** @param {PageStore} store */
  constructor(store) {
    this.#store = store;
    store.watch(["image"], () => this.clear());
  }

  clear() {
    this.#past = [];
    this.#future = [];
    this.#publish();
  }

  /**
   * Adds a step that was taken just now. Undone steps can no longer be redone.
   * @param {Step} step
   */
  push(step) {
    this.#past.push(step);
    if (this.#past.length > MAX_STEPS) this.#past.shift();
    this.#future = [];
    this.#publish();
  }

  /** @returns {string | null} name of the step that was undone */
  undo() {
    return this.#move(this.#past, this.#future, "undo");
  }

  /** @returns {string | null} name of the step that was redone */
  redo() {
    return this.#move(this.#future, this.#past, "redo");
  }

  /**
   * @param {Step[]} from
   * @param {Step[]} to
   * @param {"undo" | "redo"} direction
   */
  #move(from, to, direction) {
    const step = from.pop();
    if (!step) return null;
    to.push(step);
    step[direction]();
    this.#publish();
    return step.name;
  }

  #publish() {
    this.#store.set({ undoable: this.#past.at(-1)?.name ?? null, redoable: this.#future.at(-1)?.name ?? null });
  }
}
