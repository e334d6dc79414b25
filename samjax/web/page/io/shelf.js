/** The pending edits of a folder in the browser's local storage. */

/**
 * One page at a time writes there: two would send every edit twice.
 * @param {string} key
 * @returns {import("./outbox.js").Shelf}
 */
export function makeShelf(key) {
  let isOwn = !("locks" in navigator);
  if (!isOwn) {
    void navigator.locks.request(key, { ifAvailable: true }, (lock) => {
      isOwn = lock !== null;
      // Held for the life of the page.
      return lock ? new Promise(() => {}) : undefined;
    });
  }
  return {
    load: () => {
      try {
        return localStorage.getItem(key);
      } catch {
        return null;
      }
    },
    save: (text) => {
      try {
        if (isOwn) localStorage.setItem(key, text);
      } catch {
        // Full or forbidden: the edits are in memory still.
      }
    },
  };
}
