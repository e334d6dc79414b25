/** Stores the demo's photos and masks in IndexedDB, where the browser has it. */

const STORES = /** @type {const} */ (["photos", "annotations"]);

/** @typedef {typeof STORES[number]} StoreName */

export class DemoStorage {
  /** @type {Promise<IDBDatabase | null>} */
  #database = open();

  /**
   * @param {StoreName} store
   * @returns {Promise<any[]>}
   */
  async all(store) {
    const database = await this.#database;
    if (!database) return [];
    return finished(database.transaction(store).objectStore(store).getAll());
  }

  /**
   * Stores a value under its `id`.
   * @param {StoreName} store
   * @param {{id: string}} value
   */
  async put(store, value) {
    const database = await this.#database;
    await database?.transaction(store, "readwrite").objectStore(store).put(value);
  }

  /**
   * @param {StoreName} store
   * @param {string} id
   */
  async remove(store, id) {
    const database = await this.#database;
    await database?.transaction(store, "readwrite").objectStore(store).delete(id);
  }
}

/** @returns {Promise<IDBDatabase | null>} null where pages may store nothing */
function open() {
  return new Promise((resolve) => {
    try {
      const request = indexedDB.open("samjax-demo", 1);
      request.onupgradeneeded = () => {
        for (const name of STORES) request.result.createObjectStore(name, { keyPath: "id" });
      };
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => resolve(null);
    } catch {
      resolve(null);
    }
  });
}

/**
 * @template T
 * @param {IDBRequest<T>} request
 * @returns {Promise<T>}
 */
function finished(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
