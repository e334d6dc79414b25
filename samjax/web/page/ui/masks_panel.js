/** The list of an image's masks: label, colour, whether it shows, edit, delete. */

import { hueOf } from "./colors.js";
import { byId, el, icon, iconButton, replaceChildren } from "./dom.js";

/** @typedef {import("../state/mask_list.js").Mask} Mask */
/** @typedef {import("../state/mask_list.js").MaskStore} MaskStore */

/**
 * @typedef {object} MaskActions
 * @property {(uuid: string | null) => void} select
 * @property {(uuid: string, label: string) => void} relabel
 * @property {(uuid: string) => void} edit
 * @property {(uuid: string) => void} remove
 * @property {(uuid: string) => void} retry
 * @property {(uuid: string | null) => void} point at one in the list
 */

/**
 * @param {MaskStore} store
 * @param {MaskActions} actions
 * @returns {(selected: string | null, editing: string | null) => void} shows what is now
 */
export function makeMasksPanel(store, actions) {
  const all = byId("show-all");
  const areHidden = () => store.list.length > 0 && store.list.every(({ visible }) => !visible);
  all.addEventListener("click", () => toggleAll(store));
  let shown = "";
  return (selected, editing) => {
    const masks = store.list;
    const signature = JSON.stringify([selected, editing, ...masks.map(({ uuid, label, visible, state, level, area, problem }) => [uuid, label, visible, state, level, area, problem])]);
    if (signature === shown) return;
    shown = signature;
    byId("mask-count").textContent = String(masks.length || "");
    byId("no-masks").hidden = masks.length > 0;
    all.replaceChildren(icon(areHidden() ? "hidden" : "eye"));
    all.setAttribute("aria-label", areHidden() ? "Show all masks" : "Hide all masks");
    all.hidden = !masks.length;
    // The newest first: it is the one that is looked for.
    replaceChildren(
      byId("mask-list"),
      masks.map((mask) => itemOf(mask, mask.uuid === selected, mask.uuid === editing, store, actions)).reverse(),
    );
  };
}

/** @param {MaskStore} store */
export function toggleAll(store) {
  const show = store.list.every(({ visible }) => !visible);
  for (const { uuid } of store.list) store.show(uuid, show);
}

/**
 * @param {Mask} mask
 * @param {boolean} isSelected
 * @param {boolean} isEdited
 * @param {MaskStore} store
 * @param {MaskActions} actions
 */
function itemOf(mask, isSelected, isEdited, store, actions) {
  const { uuid, label, visible, state, level, area, problem } = mask;
  const name = label || "no label";
  const swatch = el("span", { class: "swatch", "aria-hidden": "true" });
  swatch.style.setProperty("--hue", String(Math.round(hueOf(uuid))));
  const facts = [level, `${area.toLocaleString("en")} px`].filter(Boolean).join(" · ");
  const notes = { saved: null, unsaved: "not saved yet", refused: "not saved" };
  const head = el(
    "button",
    {
      type: "button",
      class: "mask-head",
      "aria-expanded": String(isSelected),
      "data-key": `head-${uuid}`,
      onclick: () => actions.select(isSelected ? null : uuid),
      onpointerenter: () => actions.point(uuid),
      onpointerleave: () => actions.point(null),
    },
    swatch,
    el("span", { class: label ? "mask-label" : "mask-label none" }, label || "No label"),
    notes[state] ? el("span", { class: `badge ${state}`, title: problem ?? "" }, notes[state]) : el("span", { class: "mask-facts" }, facts),
  );
  return el(
    "li",
    { class: isEdited ? "mask edited" : "mask", "data-uuid": uuid, "data-state": state, "data-testid": "mask" },
    el(
      "div",
      { class: "mask-row" },
      head,
      iconButton(visible ? "eye" : "hidden", `${visible ? "Hide" : "Show"} ${name}`, () => store.show(uuid, !visible), { "data-key": `eye-${uuid}` }),
      iconButton("remove", `Delete ${name}`, () => actions.remove(uuid), { "data-key": `remove-${uuid}`, "data-testid": "delete-mask" }),
    ),
    isSelected && detailsOf(mask, actions, facts),
  );
}

/**
 * @param {Mask} mask
 * @param {MaskActions} actions
 * @param {string} facts
 */
function detailsOf({ uuid, label, state, problem, score, seconds }, actions, facts) {
  const more = [facts, score !== null && `expected IoU ${score.toFixed(2)}`, seconds > 0 && `${seconds} s`];
  return el(
    "div",
    { class: "mask-details" },
    problem && el("p", { class: "problem" }, problem),
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
        onchange: (/** @type {any} */ { target }) => actions.relabel(uuid, target.value.trim()),
        onkeydown: (/** @type {KeyboardEvent} */ event) => {
          if (event.key === "Enter") /** @type {HTMLElement} */ (event.target).blur();
        },
      }),
    ),
    el(
      "div",
      { class: "actions" },
      el("button", { type: "button", class: "button", "data-key": `edit-${uuid}`, "data-testid": "edit-mask", onclick: () => actions.edit(uuid) }, icon("edit"), "Edit"),
      state === "refused" && el("button", { type: "button", class: "button", onclick: () => actions.retry(uuid) }, "Save again"),
    ),
  );
}
