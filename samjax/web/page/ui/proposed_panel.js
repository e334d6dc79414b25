/** The card of stored proposals: how many are undecided, and the buttons for all of them. */

import { isProposed } from "../state/decisions.js";
import { byId, el } from "./dom.js";
import { renderOn } from "./frames.js";

/** @typedef {import("../state/state.js").PageStore} PageStore */

/**
 * @param {PageStore} store
 * @param {import("../state/decisions.js").Decisions} decisions
 */
export function makeProposedPanel(store, decisions) {
  const panel = byId("proposed");
  const count = el("h2", { "data-testid": "proposed-count" });
  const hint = el("p", { class: "hint" }, "Dashed masks are a model's. Take or reject the one under the pointer, or the selected one.");
  const button = (/** @type {string} */ name, /** @type {string} */ id, /** @type {string} */ key, /** @type {() => void} */ run) =>
    el("button", { type: "button", class: "button", "data-testid": id, title: `${name} (${key})`, onclick: run }, name);
  const take = button("Take (Y)", "proposed-take", "Y", () => decisions.takeNext());
  const reject = button("Reject (U)", "proposed-reject", "U", () => decisions.rejectNext());
  const all = button("Take all", "proposed-take-all", "Shift Y", () => decisions.take());
  const none = button("Reject all", "proposed-reject-all", "Shift U", () => decisions.reject());
  panel.append(count, hint, el("div", { class: "actions" }, take, reject, all, none));
  renderOn(store, ["masks"], ({ masks }) => {
    const open = masks.filter(isProposed).length;
    panel.hidden = !open;
    count.textContent = `${open} ${open === 1 ? "proposal" : "proposals"} to decide on`;
  });
}
