/** Everything mode: asks for all masks of the image, and offers what was found. */

import { byId, el } from "./dom.js";

/** @typedef {import("../model/everything.js").EverythingOptions} EverythingOptions */

/**
 * @typedef {object} EverythingState
 * @property {{done: number, total: number} | null} progress while it runs
 * @property {number} found how many wait to be accepted
 * @property {boolean} hasRun
 */

/**
 * @param {{options: EverythingOptions, start: (options: EverythingOptions) => void, cancel: () => void, acceptAll: () => void, discardAll: () => void}} given
 * @returns {(isOpen: boolean, state: EverythingState) => void} shows what is now
 */
export function makeEverythingPanel({ options, start, cancel, acceptAll, discardAll }) {
  const panel = byId("everything");
  const field = (/** @type {keyof EverythingOptions} */ name, /** @type {string} */ label, /** @type {number} */ most, /** @type {number} */ step) => {
    const shown = el("output", {}, String(options[name]));
    const input = el("input", {
      type: "range",
      min: name === "points_per_side" ? 4 : 0,
      max: most,
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
    field("pred_iou_thresh", "Least expected IoU", 1, 0.01),
    field("stability_score_thresh", "Least stability", 1, 0.01),
  );
  const text = el("p", { class: "facts", role: "status" });
  const bar = el("progress", { "aria-label": "Looking for everything" });
  const button = (/** @type {string} */ name, /** @type {string} */ id, /** @type {() => void} */ run, kind = "button") =>
    el("button", { type: "button", class: kind, "data-testid": id, onclick: run }, name);
  const begin = button("Find everything", "everything-start", () => start({ ...options }), "button primary");
  const stop = button("Cancel", "everything-cancel", cancel);
  const accept = button("Accept all", "everything-accept", acceptAll, "button primary");
  const discard = button("Discard all", "everything-discard", discardAll);
  panel.append(el("h2", {}, "Everything"), settings, text, bar, el("div", { class: "actions" }, begin, stop, accept, discard));

  return (isOpen, { progress, found, hasRun }) => {
    panel.hidden = !isOpen && !progress && !found;
    settings.hidden = progress !== null || found > 0;
    begin.hidden = settings.hidden;
    bar.hidden = stop.hidden = progress === null;
    accept.hidden = discard.hidden = progress !== null || !found;
    accept.textContent = `Accept all ${found}`;
    if (progress) {
      bar.max = progress.total || 1;
      if (progress.total) bar.value = progress.done;
      else bar.removeAttribute("value");
      text.textContent = progress.total ? `${progress.done} of ${progress.total} points` : "Waiting…";
    } else if (found) {
      text.textContent = `${found} ${found === 1 ? "mask" : "masks"} found. Click one to take it.`;
    } else {
      text.textContent = hasRun ? "Nothing passed. Lower the thresholds to see more." : "";
    }
  };
}
