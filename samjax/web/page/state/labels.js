/** Labels: that of the next mask, and the recent ones. */

/** @typedef {import("./state.js").PageStore} PageStore */

const KEY = "samjax.labels";
// One for each of the keys 1 to 9.
const MAX_RECENT = 9;

export class Labels {
  #store;

  /**
   * @param {PageStore} store
   * @param {string[]} known labels of stored masks
   */
  constructor(store, known) {
    this.#store = store;
    const labels = [...new Set([...readStored(), ...known])].filter(Boolean);
    store.set({ recentLabels: labels.slice(0, MAX_RECENT) });
  }

  /**
   * Adds a label that was used to the recent ones. Those keep their positions: users learn
   * which key is which label.
   * @param {string} label
   */
  use(label) {
    const { recentLabels } = this.#store.state;
    if (!label || recentLabels.includes(label)) return;
    const labels = [...recentLabels.slice(0, MAX_RECENT - 1), label];
    this.#store.set({ recentLabels: labels });
    try {
      localStorage.setItem(KEY, JSON.stringify(labels));
    } catch {
      // Without storage they last as long as the page.
    }
  }
}

/** @returns {string[]} */
function readStored() {
  try {
    const labels = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(labels) ? labels.filter((label) => typeof label === "string") : [];
  } catch {
    return [];
  }
}
