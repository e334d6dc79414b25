/** What can be undone and redone: one list of steps, each of which knows both ways. */

/**
 * @typedef {object} Step
 * @property {string} name what is said when it is undone
 * @property {() => void} undo
 * @property {() => void} redo
 */

const MOST = 500;

export class History {
  /** @type {Step[]} */
  #past = [];
  /** @type {Step[]} */
  #future = [];

  get canUndo() {
    return this.#past.length > 0;
  }

  get canRedo() {
    return this.#future.length > 0;
  }

  /**
   * Notes a step that was just taken. What was undone before it cannot be redone.
   * @param {Step} step
   */
  push(step) {
    this.#past.push(step);
    if (this.#past.length > MOST) this.#past.shift();
    this.#future = [];
  }

  /** @returns {string | null} the name of the step that was undone */
  undo() {
    const step = this.#past.pop();
    if (!step) return null;
    this.#future.push(step);
    step.undo();
    return step.name;
  }

  /** @returns {string | null} the name of the step that was taken again */
  redo() {
    const step = this.#future.pop();
    if (!step) return null;
    this.#past.push(step);
    step.redo();
    return step.name;
  }
}
