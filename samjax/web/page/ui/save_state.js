/** The button that shows whether all edits are saved, and sends those that are not. */

import { byId } from "./dom.js";
import { renderOn } from "./frames.js";

/** @typedef {import("../state/state.js").PageStore} PageStore */
/** @typedef {import("../state/state.js").State} State */

/**
 * @param {PageStore} store
 * @param {import("../io/outbox.js").Outbox} outbox
 * @param {"server" | "demo"} mode of the backend
 */
export function makeSaveState(store, outbox, mode) {
  const button = byId("save-state");
  let wasStuck = false;
  const show = () => {
    const { state, text } = saveState(store.state, mode);
    button.dataset.state = state;
    if (button.textContent !== text) button.textContent = text;
    const { isStuck } = store.state.outbox;
    if (isStuck !== wasStuck) store.emit("announcement", isStuck ? "Masks are not saved." : "All masks are saved.");
    wasStuck = isStuck;
  };
  button.addEventListener("click", () => outbox.send());
  window.addEventListener("online", () => outbox.send());
  window.addEventListener("beforeunload", (event) => {
    if (store.state.outbox.size) event.preventDefault();
  });
  renderOn(store, ["outbox", "isOffline"], show);
}

/**
 * @param {Readonly<State>} state
 * @param {"server" | "demo"} mode
 * @returns {{state: "saved" | "busy" | "stuck" | "away", text: string}}
 */
export function saveState({ outbox: { size, isStuck }, isOffline }, mode) {
  if (size) return isStuck ? { state: "stuck", text: `${size} not saved: retry` } : { state: "busy", text: "Saving…" };
  if (isOffline) return { state: "away", text: "Server unreachable" };
  return { state: "saved", text: mode === "demo" ? "Stored in this browser" : "Saved" };
}
