/** Former path of `io/outbox.js`, with the callbacks it had, for scripts that use it. */

import { Store } from "./core/store.js";
import { Outbox as StoreOutbox } from "./io/outbox.js";

/**
 * @typedef {object} Callbacks
 * @property {(edit: object, annotation: object | null) => void} onSaved
 * @property {(edit: object, current: object) => void} onConflict
 * @property {(edit: object, message: string) => void} onRefused
 * @property {() => void} onChange
 */

export class Outbox extends StoreOutbox {
  /**
   * @param {ConstructorParameters<typeof StoreOutbox>[1]} backend
   * @param {Callbacks} callbacks
   * @param {ConstructorParameters<typeof StoreOutbox>[2]} shelf
   * @param {number[]} [pauses]
   */
  constructor(backend, { onSaved, onConflict, onRefused, onChange }, shelf, pauses) {
    /** @type {any} */
    const store = new Store({ outbox: null });
    store.on("saved", (/** @type {any} */ { edit, annotation }) => onSaved(edit, annotation));
    store.on("conflict", (/** @type {any} */ { edit, current }) => onConflict(edit, current));
    store.on("refused", (/** @type {any} */ { edit, message }) => onRefused(edit, message));
    store.watch(["outbox"], () => onChange());
    super(store, backend, shelf, pauses);
  }
}
