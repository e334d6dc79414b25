/** The owner's view of a team: numbers by person, round and model, and what was set aside. */

import { hashOf } from "../core/address.js";
import { messageOf } from "../state/state.js";
import { byId, el, icon, iconButton, replaceChildren } from "./dom.js";
import { askForReason } from "./reason_dialog.js";

/** @typedef {import("../io/backend.js").Statistics} Statistics */
/** @typedef {import("../io/backend.js").StatisticsRow} StatisticsRow */
/** @typedef {import("../io/backend.js").TeamBackend} TeamBackend */
/** @typedef {import("../state/state.js").PageStore} PageStore */

/** @type {{name: string, title: string, digits?: number, hint?: string}[]} */
const COLUMNS = [
  { name: "images_done", title: "Images" },
  { name: "masks", title: "Masks" },
  { name: "active_seconds_median", title: "Active s", digits: 1, hint: "Median of the active seconds a mask" },
  { name: "wall_seconds_median", title: "Wall s", digits: 1, hint: "Median of the seconds a mask, pauses included" },
  { name: "clicks_mean", title: "Clicks", digits: 1, hint: "Mean clicks and boxes a mask" },
  { name: "strokes_mean", title: "Strokes", digits: 1, hint: "Mean strokes of brush and eraser a mask" },
  { name: "undos_mean", title: "Undone", digits: 1, hint: "Mean undone steps a mask" },
  { name: "proposals_taken", title: "Taken", hint: "Proposals that were taken, those that were changed included" },
  { name: "proposals_rejected", title: "Rejected", hint: "Proposals that were rejected" },
  { name: "skipped", title: "Skipped" },
  { name: "flagged", title: "Flagged" },
  { name: "accepted", title: "Accepted" },
  { name: "fixed", title: "Fixed", hint: "Accepted after the reviewer changed masks" },
  { name: "returned", title: "Returned" },
  { name: "reviews_made", title: "Reviews", hint: "Reviews of others' images" },
  { name: "review_seconds_median", title: "Review s", digits: 1, hint: "Median of the active seconds a review" },
  { name: "gold_iou", title: "Gold IoU", digits: 2, hint: "Mean IoU with the trusted masks of gold images, over pairs" },
  { name: "gold_missed", title: "Missed", hint: "Trusted masks without a partner" },
  { name: "gold_extra", title: "Extra", hint: "Masks without a partner in gold images" },
  { name: "agreement_iou", title: "Agreement", digits: 2, hint: "Mean IoU of pairs in images that two people annotated" },
  { name: "agreement_boundary_iou", title: "Boundaries", digits: 2, hint: "Mean IoU of the boundaries of these pairs" },
  { name: "agreement_kappa", title: "Labels κ", digits: 2, hint: "Cohen's kappa of the labels of these pairs" },
];
const BARS = /** @type {const} */ ([
  ["active_seconds_median", "Active seconds a mask, median", 1],
  ["masks", "Masks", 0],
  ["gold_iou", "IoU on gold images", 2],
]);
const GROUPS = /** @type {const} */ ([
  ["person", "People", "Person"],
  ["round", "Rounds", "Round"],
  ["model", "Models", "Model"],
]);
const KINDS = { annotate: "To annotate", verify: "To review", audit: "To audit" };

/**
 * @param {PageStore} store
 * @param {TeamBackend} team
 */
export async function showStatistics(store, team) {
  const dialog = /** @type {HTMLDialogElement} */ (byId("statistics"));
  const fill = async () => {
    try {
      const numbers = await team.statistics();
      replaceChildren(dialog, [headOf(dialog, team), el("div", { class: "numbers" }, ...partsOf(numbers, reopen, () => dialog.close()))]);
      if (!dialog.open) dialog.showModal();
    } catch (error) {
      store.emit("notice", { text: messageOf(error), kind: "problem" });
    }
  };
  const reopen = (/** @type {number} */ id) => {
    dialog.close();
    askForReason({ title: "Back to the queue", label: "Note for the next person", action: "Return to the queue" }, async (note) => {
      await team.reopen(id, note).catch((error) => store.emit("notice", { text: messageOf(error), kind: "problem" }));
      await fill();
    });
  };
  dialog.onclick = (event) => event.target === dialog && dialog.close();
  await fill();
}

/**
 * @param {HTMLDialogElement} dialog
 * @param {TeamBackend} team
 */
function headOf(dialog, team) {
  return el(
    "header",
    {},
    el("h2", { id: "statistics-title" }, "Team"),
    el("span", { class: "grow" }),
    el("a", { class: "button", href: team.csv, download: "statistics.csv", "data-testid": "statistics-csv" }, icon("export"), "CSV"),
    iconButton("close", "Close", () => dialog.close()),
  );
}

/**
 * @param {Statistics} numbers
 * @param {(id: number) => void} reopen
 * @param {() => void} close
 */
function partsOf(numbers, reopen, close) {
  const people = numbers.person;
  return [
    el("div", { class: "tiles" }, ...Object.entries(numbers.counts).map(([kind, states]) => tileOf(KINDS[/** @type {keyof typeof KINDS} */ (kind)] ?? kind, states))),
    el("div", { class: "charts" }, ...BARS.map(([name, title, digits]) => chartOf(people, name, title, digits)).filter((chart) => chart !== null)),
    ...GROUPS.filter(([group]) => group === "person" || numbers[group].length > 0).map(([group, title, one]) => tableOf(numbers[group], title, one)),
    numbers.set_aside.length > 0 && asideOf(numbers.set_aside, reopen, close),
  ].filter((part) => part !== false);
}

/**
 * @param {string} title
 * @param {Record<string, number>} states
 */
function tileOf(title, states) {
  const total = Object.values(states).reduce((sum, count) => sum + count, 0);
  const finished = total - (states.open ?? 0) - (states.leased ?? 0);
  const rest = Object.entries(states).map(([state, count]) => `${count} ${state}`).join(" · ");
  return el("section", { class: "tile" }, el("h3", {}, title), el("p", { class: "big" }, `${finished} of ${total}`), el("progress", { max: total, value: finished, "aria-label": title }), el("p", { class: "facts" }, rest));
}

/**
 * A bar for every person.
 * @param {StatisticsRow[]} rows
 * @param {string} name of the column
 * @param {string} title
 * @param {number} digits
 */
function chartOf(rows, name, title, digits) {
  const known = rows.filter((row) => typeof row[name] === "number");
  if (!known.length) return null;
  const most = Math.max(...known.map((row) => Number(row[name])), digits === 2 ? 1 : 0) || 1;
  return el(
    "section",
    { class: "chart" },
    el("h3", {}, title),
    el(
      "dl",
      {},
      ...known.map((row) => {
        const value = Number(row[name]);
        const bar = el("progress", { max: most, value, "aria-hidden": "true" });
        return el("div", {}, el("dt", {}, String(row.name)), el("dd", {}, bar, el("span", {}, value.toFixed(digits))));
      }),
    ),
  );
}

/**
 * @param {StatisticsRow[]} rows
 * @param {string} title
 * @param {string} one what a row is of
 */
function tableOf(rows, title, one) {
  // Columns without a value in any row say nothing.
  const columns = COLUMNS.filter(({ name }) => rows.some((row) => row[name]));
  const cell = (/** @type {StatisticsRow} */ row, /** @type {{name: string, digits?: number}} */ { name, digits = 0 }) => {
    const value = row[name];
    return el("td", {}, typeof value === "number" ? value.toFixed(digits) : "–");
  };
  const head = columns.map(({ title: name, hint }) => el("th", { scope: "col", title: hint ?? "" }, name));
  return el(
    "section",
    {},
    el("h3", {}, title),
    rows.length
      ? el(
          "div",
          { class: "scroll", tabindex: 0, role: "region", "aria-label": title },
          el(
            "table",
            {},
            el("thead", {}, el("tr", {}, el("th", { scope: "col" }, one), ...head)),
            el("tbody", {}, ...rows.map((row) => el("tr", {}, el("th", { scope: "row", title: String(row.name) }, shortName(row.name)), ...columns.map((column) => cell(row, column))))),
          ),
        )
      : el("p", { class: "hint" }, "Nobody has finished an image yet."),
  );
}

/** @param {string | number} name of a person or round; a model's is a fingerprint */
function shortName(name) {
  const text = String(name) || "unknown";
  return /^[0-9a-f]{32,}$/.test(text) ? text.slice(0, 10) : text;
}

/**
 * @param {Statistics["set_aside"]} tasks
 * @param {(id: number) => void} reopen
 * @param {() => void} close
 */
function asideOf(tasks, reopen, close) {
  return el(
    "section",
    {},
    el("h3", {}, "Set aside"),
    el(
      "ul",
      { class: "aside-list" },
      ...tasks.map(({ id, image, image_id, state, person, note }) =>
        el(
          "li",
          {},
          el("a", { href: hashOf(image_id), onclick: close }, image),
          el("span", { class: "badge" }, state),
          el("span", { class: "grow" }, note, el("span", { class: "facts" }, person ? ` · ${person}` : "")),
          el("button", { type: "button", class: "button", onclick: () => reopen(id) }, "Back to the queue"),
        ),
      ),
    ),
  );
}
