/** So many values by key: of those that were used longest ago one goes for every new one. */

/** @template V */
export class Recent {
  /** From the one that was used longest ago to the newest. @type {Map<string, V>} */
  #values = new Map();
  #most;

  /** @param {number} most */
  constructor(most) {
    this.#most = most;
  }

  /**
   * @param {string} key
   * @returns {V | undefined} what was kept, which counts as using it
   */
  get(key) {
    const value = this.#values.get(key);
    if (value !== undefined) this.set(key, value);
    return value;
  }

  /**
   * @param {string} key
   * @param {V} value
   */
  set(key, value) {
    this.#values.delete(key);
    this.#values.set(key, value);
    for (const old of this.#values.keys()) {
      if (this.#values.size <= this.#most) break;
      this.#values.delete(old);
    }
  }
}
