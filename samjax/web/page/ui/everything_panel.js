/** The card of everything mode: its settings, its progress, and the proposals to accept. */

import { byId, el } from "./dom.js";
import { renderOn } from "./frames.js";

/** @typedef {import("../model/everything.js").EverythingOptions} EverythingOptions */
/** @typedef {import("../state/state.js").PageStore} PageStore */

/**
 * @param {PageStore} store
 * @param {import("../state/proposals.js").Proposals} proposals
 * @param {import("../state/commands.js").Commands} commands
 * @param {EverythingOptions} defaults that suit the model, from the server
 */
export function makeEverythingPanel(store, proposals, commands, defaults) {
  const options = { ...defaults };
  const panel = byId("everything");
  const field = (/** @type {keyof EverythingOptions} */ name, /** @type {string} */ label, /** @type {number} */ max, /** @type {number} */ step) => {
    const shown = el("output", {}, String(options[name]));
    const input = el("input", {
      type: "range",
      min: name === "points_per_side" ? 4 : 0,
      max,
      step,
      value: options[name],
      "aria-label": label,
      oninput: () => {
        options[name] = Number(input.value);
        shown.textContent = input.value;
      },
    });
    return el("label", { class: "range" }, el("span", {}, label), input, shown);
  };
  const settings = el(
    "div",
    { class: "settings" },
    field("points_per_side", "Points per side", 64, 1),
    field("pred_iou_thresh", "Min predicted IoU", 1, 0.01),
    field("stability_score_thresh", "Min stability score", 1, 0.01),
  );
  const text = el("p", { class: "facts", role: "status" });
  const bar = el("progress", { "aria-label": "Everything mode" });
  const button = (/** @type {string} */ name, /** @type {string} */ id, /** @type {() => void} */ run, kind = "button") =>
    el("button", { type: "button", class: kind, "data-testid": id, onclick: run }, name);
  const begin = button("Find everything", "everything-start", () => proposals.start({ ...options }), "button primary");
  const stop = button("Cancel", "everything-cancel", () => proposals.cancel());
  const accept = button("Accept all", "everything-accept", () => commands.acceptAll(), "button primary");
  const discard = button("Discard all", "everything-discard", () => proposals.clear());
  panel.append(el("h2", {}, "Everything"), settings, text, bar, el("div", { class: "actions" }, begin, stop, accept, discard));

  renderOn(store, ["tool", "proposals", "searching", "hasSearched"], ({ tool, proposals: { length: count }, searching, hasSearched }) => {
    panel.hidden = tool !== "everything" && !searching && !count;
    settings.hidden = searching !== null || count > 0;
    begin.hidden = settings.hidden;
    bar.hidden = stop.hidden = searching === null;
    accept.hidden = discard.hidden = searching !== null || !count;
    accept.textContent = `Accept all ${count}`;
    if (searching) {
      bar.max = searching.total || 1;
      if (searching.total) bar.value = searching.done;
      else bar.removeAttribute("value");
      text.textContent = searching.total ? `${searching.done} of ${searching.total} points` : "Waiting…";
    } else if (count) {
      text.textContent = `${count} ${count === 1 ? "mask" : "masks"} found. Click one to edit it.`;
    } else {
      text.textContent = hasSearched ? "No mask passed the thresholds. Lower them to see more." : "";
    }
  });
}
