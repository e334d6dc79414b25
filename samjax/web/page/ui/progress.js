/** The card over the image while it is being opened. */

import { byId } from "./dom.js";
import { renderOn } from "./frames.js";

/** @typedef {import("../state/state.js").PageStore} PageStore */

/**
 * @param {PageStore} store
 * @param {import("../state/opening.js").Opening} opening
 */
export function makeProgress(store, opening) {
  const card = byId("progress");
  const bar = /** @type {HTMLProgressElement} */ (byId("progress-bar"));
  byId("progress-retry").addEventListener("click", () => opening.open());
  renderOn(store, ["progress"], ({ progress }) => {
    card.hidden = !progress;
    if (!progress) return;
    const { text, share, isFailed } = progress;
    card.classList.toggle("failed", isFailed);
    byId("progress-text").textContent = text;
    byId("progress-retry").hidden = !isFailed;
    bar.hidden = isFailed;
    if (share === null) bar.removeAttribute("value");
    else bar.value = share;
  });
}
