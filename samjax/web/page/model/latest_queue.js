/**
 * Runs one task at a time. Tasks keep their order; of previews, which may be dropped, only
 * the newest waits, behind all tasks.
 */

export class LatestQueue {
  /** @type {(() => Promise<void>)[]} */
  #tasks = [];
  /** @type {{begin: () => Promise<void>, drop: () => void} | null} */
  #preview = null;
  #busy = false;

  /**
   * @template T
   * @param {() => Promise<T>} task
   * @returns {Promise<T>}
   */
  run(task) {
    return new Promise((resolve, reject) => {
      this.#tasks.push(() => task().then(resolve, reject));
      this.#advance();
    });
  }

  /**
   * @template T
   * @param {() => Promise<T>} task
   * @returns {Promise<T | null>} null where a newer preview replaced it
   */
  preview(task) {
    return new Promise((resolve, reject) => {
      this.#preview?.drop();
      this.#preview = {
        begin: () => task().then(resolve, reject),
        drop: () => resolve(null),
      };
      this.#advance();
    });
  }

  /** Drops the preview that is waiting, if any. */
  dropPreview() {
    this.#preview?.drop();
    this.#preview = null;
  }

  get idle() {
    return !this.#busy;
  }

  async #advance() {
    if (this.#busy) return;
    this.#busy = true;
    for (;;) {
      let begin = this.#tasks.shift();
      if (!begin && this.#preview) {
        begin = this.#preview.begin;
        this.#preview = null;
      }
      if (!begin) break;
      await begin();
    }
    this.#busy = false;
  }
}
