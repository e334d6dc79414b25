/** The list of an image's masks: label, colour, visibility, edit, delete. */

import { isProposed } from "../state/decisions.js";
import { reviewOf } from "../state/mask_reviews.js";
import { hueOf } from "./colors.js";
import { byId, el, icon, iconButton, replaceChildren } from "./dom.js";
import { renderOn } from "./frames.js";
import { historyOf } from "./review_panel.js";

/** @typedef {import("../state/mask_list.js").Mask} Mask */
/** @typedef {import("../state/mask_list.js").MaskList} MaskList */
/** @typedef {import("../state/commands.js").Commands} Commands */
/** @typedef {import("../state/state.js").PageStore} PageStore */
/** @typedef {import("../state/state.js").State} State */
/** @typedef {{masks: MaskList, commands: Commands, decisions: import("../state/decisions.js").Decisions, versions: import("../state/versions.js").Versions}} Parts */

/**
 * @param {PageStore} store
 * @param {Parts} parts
 */
export function makeMasksPanel(store, parts) {
  const { commands } = parts;
  const all = byId("show-all");
  all.addEventListener("click", () => commands.toggleAll());
  let shown = "";
  renderOn(store, ["masks", "selected", "session", "reviews", "versions", "former"], (state) => {
    const { masks, selected, session: { editing }, reviews, versions, former } = state;
    const areHidden = masks.length > 0 && masks.every(({ visible }) => !visible);
    const signature = JSON.stringify([selected, editing, reviews, versions.length, former?.revision, ...masks.map(({ uuid, label, visible, state, level, area, problem, source, revision }) => [uuid, label, visible, state, level, area, problem, source, revision])]);
    if (signature === shown) return;
    shown = signature;
    byId("mask-count").textContent = String(masks.length || "");
    byId("no-masks").hidden = masks.length > 0;
    all.replaceChildren(icon(areHidden ? "hidden" : "eye"));
    all.setAttribute("aria-label", areHidden ? "Show all masks" : "Hide all masks");
    all.hidden = !masks.length;
    // The newest first: it is the one most often looked for.
    replaceChildren(
      byId("mask-list"),
      masks.map((mask) => itemOf(mask, mask.uuid === selected, mask.uuid === editing, state, parts)).reverse(),
    );
  });
  store.watch(["selected"], ({ selected }) => {
    if (!selected) return;
    // Two frames: the first one renders the list.
    requestAnimationFrame(() => requestAnimationFrame(() => document.querySelector(`[data-uuid="${selected}"]`)?.scrollIntoView({ block: "nearest" })));
  });
}

/**
 * @param {Mask} mask
 * @param {boolean} isSelected
 * @param {boolean} isEdited
 * @param {Readonly<State>} page its state
 * @param {Parts} parts
 */
function itemOf(mask, isSelected, isEdited, page, parts) {
  const { masks: list, commands, decisions } = parts;
  const { uuid, label, visible, state, level, area, problem } = mask;
  const name = label || "no label";
  const swatch = el("span", { class: "swatch", "aria-hidden": "true" });
  swatch.style.setProperty("--hue", String(Math.round(hueOf(uuid))));
  const facts = [level, `${area.toLocaleString("en")} px`].filter(Boolean).join(" · ");
  const isOpen = isProposed(mask);
  const verdict = isOpen ? "proposed" : (reviewOf(mask, page.reviews)?.verdict ?? null);
  const notes = { saved: verdict, unsaved: "not saved yet", refused: "not saved" };
  const badge = (state === "saved" && verdict) || state;
  const head = el(
    "button",
    {
      type: "button",
      class: "mask-head",
      "aria-expanded": String(isSelected),
      "data-key": `head-${uuid}`,
      onclick: () => commands.select(isSelected ? null : uuid),
      onpointerenter: () => commands.highlight(uuid),
      onpointerleave: () => commands.highlight(null),
    },
    swatch,
    el("span", { class: label ? "mask-label" : "mask-label none" }, label || "No label"),
    notes[state] ? el("span", { class: `badge ${badge}`, title: problem ?? "" }, notes[state]) : el("span", { class: "mask-facts" }, facts),
  );
  return el(
    "li",
    { class: ["mask", isEdited && "edited", isOpen && "proposed"].filter(Boolean).join(" "), "data-uuid": uuid, "data-state": state, "data-testid": "mask" },
    el(
      "div",
      { class: "mask-row" },
      head,
      isOpen && iconButton("check", `Take ${name}`, () => decisions.take([uuid]), { "data-key": `take-${uuid}`, "data-testid": "take-mask" }),
      iconButton(visible ? "eye" : "hidden", `${visible ? "Hide" : "Show"} ${name}`, () => list.show([uuid], !visible), { "data-key": `eye-${uuid}` }),
      iconButton(isOpen ? "close" : "remove", `${isOpen ? "Reject" : "Delete"} ${name}`, () => (isOpen ? decisions.reject([uuid]) : commands.remove(uuid)), { "data-key": `remove-${uuid}`, "data-testid": "delete-mask" }),
    ),
    isSelected && detailsOf(mask, facts, page, parts),
  );
}

/**
 * @param {Mask} mask
 * @param {string} facts
 * @param {Readonly<State>} page its state
 * @param {Parts} parts
 */
function detailsOf(mask, facts, { reviews, versions, former }, parts) {
  const { uuid, label, state, problem, score, seconds } = mask;
  const { commands } = parts;
  const note = reviewOf(mask, reviews)?.note;
  const more = [facts, score !== null && `predicted IoU ${score.toFixed(2)}`, seconds > 0 && `${seconds} s`];
  return el(
    "div",
    { class: "mask-details" },
    problem && el("p", { class: "problem" }, problem),
    note && el("p", { class: "returned", "data-testid": "mask-note" }, note),
    el("p", { class: "facts" }, more.filter(Boolean).join(" · ")),
    el(
      "label",
      { class: "field" },
      el("span", {}, "Label"),
      el("input", {
        type: "text",
        value: label,
        maxlength: "200",
        list: "",
        spellcheck: "false",
        "data-key": `label-${uuid}`,
        onchange: (/** @type {any} */ { target }) => commands.relabel(uuid, target.value.trim()),
        onkeydown: (/** @type {KeyboardEvent} */ event) => {
          if (event.key === "Enter") /** @type {HTMLElement} */ (event.target).blur();
        },
      }),
    ),
    el(
      "div",
      { class: "actions" },
      el("button", { type: "button", class: "button", "data-key": `edit-${uuid}`, "data-testid": "edit-mask", onclick: () => commands.edit(uuid) && byId("stage").focus() }, icon("edit"), "Edit"),
      state === "refused" && el("button", { type: "button", class: "button", onclick: () => commands.retry(uuid) }, "Save again"),
    ),
    historyOf(versions, former?.revision ?? null, parts.versions),
  );
}
