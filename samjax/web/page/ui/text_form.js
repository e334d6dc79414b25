/** The form for text prompts: Enter in its field, or its button, finds what a text names. */

import { byId } from "./dom.js";
import { renderOn } from "./frames.js";

/** @typedef {import("../state/state.js").PageStore} PageStore */

/**
 * @param {PageStore} store
 * @param {import("../state/text_search.js").TextSearch} search
 * @param {boolean} hasText whether the model takes text
 */
export function makeTextForm(store, search, hasText) {
  const form = byId("text-form");
  const field = /** @type {HTMLInputElement} */ (byId("text-prompt"));
  form.hidden = !hasText;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const isFound = await search.find(field.value.trim());
    if (!form.contains(document.activeElement)) return;
    // To the stage, where Enter accepts the mask and Escape discards it; back to the words
    // where they are to be changed.
    if (isFound) byId("stage").focus();
    else if (!store.state.isFinding) field.select();
  });
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.preventDefault();
    byId("stage").focus();
  });
  renderOn(store, ["isFinding"], ({ isFinding }) => {
    form.setAttribute("aria-busy", String(isFinding));
    byId("text-find").textContent = isFinding ? "Finding…" : "Find";
  });
}
