/**
 * An event store: one immutable state, and events.
 *
 * Objects change the state with `set` and watch the keys that concern them. Occurrences
 * that leave no state (a notice, an edit to be saved) are events. Neither side knows the
 * other, so that no callbacks are passed around.
 */

/**
 * @template {object} S the state
 * @template {object} E the events: name to payload
 */
export class Store {
  /** @type {Readonly<S>} */
  state;
  /** @type {{keys: Set<keyof S>, listener: (state: Readonly<S>) => void}[]} */
  #watchers = [];
  /** @type {Map<keyof E, ((payload: any) => void)[]>} */
  #listeners = new Map();

  /** @param {S} initial */
  constructor(initial) {
    this.state = Object.freeze({ ...initial });
  }

  /**
   * Changes keys of the state. Each watcher of a key whose value is another one now is
   * called once, before this returns, in the order of subscription.
   * @param {Partial<S>} changes
   */
  set(changes) {
    const keys = /** @type {(keyof S)[]} */ (Object.keys(changes)).filter((key) => !Object.is(this.state[key], changes[key]));
    if (!keys.length) return;
    this.state = Object.freeze({ ...this.state, ...changes });
    for (const { keys: watched, listener } of [...this.#watchers]) {
      if (keys.some((key) => watched.has(key))) listener(this.state);
    }
  }

  /**
   * @param {(keyof S)[]} keys
   * @param {(state: Readonly<S>) => void} listener called with the newest state
   */
  watch(keys, listener) {
    this.#watchers.push({ keys: new Set(keys), listener });
  }

  /**
   * @template {keyof E} K
   * @param {K} name
   * @param {E[K]} payload
   */
  emit(name, payload) {
    for (const listener of this.#listeners.get(name) ?? []) listener(payload);
  }

  /**
   * @template {keyof E} K
   * @param {K} name
   * @param {(payload: E[K]) => void} listener
   */
  on(name, listener) {
    this.#listeners.set(name, [...(this.#listeners.get(name) ?? []), listener]);
  }
}
