/** Rendering with the next frame of the screen. */

/** @typedef {import("../state/state.js").State} State */
/** @typedef {import("../state/state.js").PageStore} PageStore */

/**
 * Renders at once, then once per frame in which watched keys changed, however often.
 * @param {PageStore} store
 * @param {(keyof State)[]} keys
 * @param {(state: Readonly<State>) => void} render
 */
export function renderOn(store, keys, render) {
  let isScheduled = false;
  render(store.state);
  store.watch(keys, () => {
    if (isScheduled) return;
    isScheduled = true;
    requestAnimationFrame(() => {
      isScheduled = false;
      render(store.state);
    });
  });
}
