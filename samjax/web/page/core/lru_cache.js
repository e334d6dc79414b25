/** A map of bounded size: each new key beyond the bound evicts the least recently used one. */

/** @template V */
export class LruCache {
  /** In order of use, the least recently used first. @type {Map<string, V>} */
  #values = new Map();
  #capacity;

  /** @param {number} capacity how many values are held */
  constructor(capacity) {
    this.#capacity = capacity;
  }

  /**
   * @param {string} key
   * @returns {V | undefined} the value, which becomes the most recently used
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
    // A Map iterates in the order of insertion: inserted again, the key is the newest.
    this.#values.delete(key);
    this.#values.set(key, value);
    for (const oldest of this.#values.keys()) {
      if (this.#values.size <= this.#capacity) break;
      this.#values.delete(oldest);
    }
  }
}
