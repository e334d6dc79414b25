/** The list of an image's masks: label, colour, visibility, edit, delete. */

import { hueOf } from "./colors.js";
import { byId, el, icon, iconButton, replaceChildren } from "./dom.js";
import { renderOn } from "./frames.js";

/** @typedef {import("../state/mask_list.js").Mask} Mask */
/** @typedef {import("../state/mask_list.js").MaskList} MaskList */
/** @typedef {import("../state/commands.js").Commands} Commands */
/** @typedef {import("../state/state.js").PageStore} PageStore */

/**
 * @param {PageStore} store
 * @param {MaskList} list
 * @param {Commands} commands
 */
export function makeMasksPanel(store, list, commands) {
  const all = byId("show-all");
  all.addEventListener("click", () => commands.toggleAll());
  let shown = "";
  renderOn(store, ["masks", "selected", "session"], ({ masks, selected, session: { editing } }) => {
    const areHidden = masks.length > 0 && masks.every(({ visible }) => !visible);
    const signature = JSON.stringify([selected, editing, ...masks.map(({ uuid, label, visible, state, level, area, problem }) => [uuid, label, visible, state, level, area, problem])]);
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
      masks.map((mask) => itemOf(mask, mask.uuid === selected, mask.uuid === editing, list, commands)).reverse(),
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
 * @param {MaskList} list
 * @param {Commands} commands
 */
function itemOf(mask, isSelected, isEdited, list, commands) {
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
      onclick: () => commands.select(isSelected ? null : uuid),
      onpointerenter: () => commands.highlight(uuid),
      onpointerleave: () => commands.highlight(null),
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
      iconButton(visible ? "eye" : "hidden", `${visible ? "Hide" : "Show"} ${name}`, () => list.show([uuid], !visible), { "data-key": `eye-${uuid}` }),
      iconButton("remove", `Delete ${name}`, () => commands.remove(uuid), { "data-key": `remove-${uuid}`, "data-testid": "delete-mask" }),
    ),
    isSelected && detailsOf(mask, commands, facts),
  );
}

/**
 * @param {Mask} mask
 * @param {Commands} commands
 * @param {string} facts
 */
function detailsOf({ uuid, label, state, problem, score, seconds }, commands, facts) {
  const more = [facts, score !== null && `predicted IoU ${score.toFixed(2)}`, seconds > 0 && `${seconds} s`];
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
  );
}
