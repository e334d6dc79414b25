/** The card of a review mask by mask, and the history of the selected mask. */

import { isReviewing, verdictsOf } from "../state/mask_reviews.js";
import { byId, el } from "./dom.js";
import { renderOn } from "./frames.js";
import { askForReason } from "./reason_dialog.js";

/** @typedef {import("../io/backend.js").Version} Version */
/** @typedef {import("../state/mask_reviews.js").MaskReviews} MaskReviews */
/** @typedef {import("../state/state.js").PageStore} PageStore */
/** @typedef {import("../state/versions.js").Versions} Versions */

const RETURN = { title: "Return this mask", label: "What is to be done?", action: "Return" };
const SOURCES = { click: "clicks", box: "a box", brush: "the brush", text: "text", import: "an import", everything: "everything mode", proposed: "proposed", proposal: "taken", rejected: "rejected", automatic: "automatic" };

/**
 * @param {PageStore} store
 * @param {MaskReviews} reviews
 */
export function makeReviewPanel(store, reviews) {
  const panel = byId("review");
  const count = el("p", { class: "facts", role: "status", "data-testid": "review-count" });
  const button = (/** @type {string} */ name, /** @type {string} */ id, /** @type {() => void} */ run) =>
    el("button", { type: "button", class: "button", "data-testid": id, onclick: run }, name);
  const accept = button("Accept (Y)", "accept-mask", () => reviews.acceptNext());
  const back = button("Return (U)", "return-mask", () => returnMask(reviews));
  panel.append(el("h2", {}, "Review"), count, el("div", { class: "actions" }, accept, back));
  renderOn(store, ["masks", "reviews", "task", "image"], (state) => {
    panel.hidden = !isReviewing(state) || !state.masks.length;
    const { seen, returned } = verdictsOf(state);
    count.textContent = `${seen} of ${state.masks.length} masks have a verdict${returned ? `, ${returned} returned` : ""}.`;
  });
}

/** @param {MaskReviews} reviews */
export function returnMask(reviews) {
  reviews.returnNext((run) => askForReason(RETURN, run));
}

/**
 * @param {readonly Version[]} versions the oldest first
 * @param {number | null} shown revision whose outline is on the image
 * @param {Versions} parts
 * @returns {HTMLElement | null} null where there is one version at most
 */
export function historyOf(versions, shown, parts) {
  if (versions.length < 2) return null;
  const items = versions.map((version) => {
    const { revision, author, changed, source, edited } = version;
    const how = `${SOURCES[/** @type {keyof typeof SOURCES} */ (source)] ?? source}${edited ? ", edited" : ""}`;
    const when = new Date(changed).toLocaleString([], { dateStyle: "short", timeStyle: "short" });
    const text = [author || (source === "proposed" ? "the model" : null), how, when].filter(Boolean).join(" · ");
    return el("li", {}, el("button", { type: "button", class: "version", "aria-pressed": String(shown === revision), "data-key": `version-${revision}`, "data-testid": "version", title: "Show its outline", onclick: () => void parts.show(version) }, text));
  });
  return el("div", {}, el("p", { class: "facts" }, "History"), el("ol", { class: "versions" }, ...items));
}
