/** The table of keyboard shortcuts. */

import { isBlank } from "../state/session.js";
import { isReviewing } from "../state/mask_reviews.js";
import { byId } from "./dom.js";
import { returnMask } from "./review_panel.js";
import { ZOOM_STEP } from "./view_controls.js";

/** @typedef {import("./keys.js").KeyAction} KeyAction */
/** @typedef {import("../state/state.js").PageStore} PageStore */

const BRUSH_STEP = 1.25;
const ARROWS = [
  { keys: ["ArrowLeft", "shift+ArrowLeft"], by: [-1, 0] },
  { keys: ["ArrowRight", "shift+ArrowRight"], by: [1, 0] },
  { keys: ["ArrowUp", "shift+ArrowUp"], by: [0, -1] },
  { keys: ["ArrowDown", "shift+ArrowDown"], by: [0, 1] },
];

/**
 * @param {PageStore} store
 * @param {ReturnType<typeof import("./workspace.js").makeWorkspace>} workspace
 * @param {{move: (by: number) => void, leave: () => void, theme: () => void, help: () => void, instructions: () => void, statistics: () => void}} page
 * @param {ReturnType<typeof import("./queue_panel.js").makeQueuePanel>} task
 * @returns {KeyAction[]}
 */
export function makeShortcuts(store, { commands, decisions, editor, pointing, reviews, stage, tools }, page, task) {
  const onSelected = (/** @type {(uuid: string) => unknown} */ run) => () => {
    const { selected } = store.state;
    if (selected) run(selected);
    return selected !== null;
  };
  const onTask = (/** @type {() => unknown} */ run) => () => {
    if (!task.isOpen()) return false;
    run();
    return true;
  };
  const onReview = (/** @type {() => void} */ review, /** @type {() => boolean} */ other) => () => {
    if (!isReviewing(store.state)) return other();
    review();
    return true;
  };
  const { team } = store.state;
  const isReviewer = team !== null && team.role !== "annotator";
  const scaleBrush = (/** @type {number} */ factor) => commands.setBrush(store.state.brushRadius * factor);
  return [
    ...tools.map(({ tool, name, key }) => ({
      group: "Tools",
      keys: [key],
      shown: key.toUpperCase(),
      does: name,
      run: () => commands.chooseTool(tool),
    })),
    { group: "Tools", keys: ["["], shown: "[", does: "Smaller brush", run: () => scaleBrush(1 / BRUSH_STEP) },
    { group: "Tools", keys: ["]"], shown: "]", does: "Larger brush", run: () => scaleBrush(BRUSH_STEP) },

    { group: "Mask", keys: [], shown: "Click", does: "Positive point; on a point: remove it" },
    { group: "Mask", keys: [], shown: "Right-click or Alt", does: "Negative point" },
    { group: "Mask", keys: ["m"], shown: "M", does: "Whole, part, subpart", run: () => editor.cycle() },
    { group: "Mask", keys: ["Enter"], shown: "Enter", does: "Accept, or place a point at the crosshair", run: () => pointing.confirm(false) },
    { group: "Mask", keys: ["shift+Enter"], shown: "Shift Enter", does: "Negative point at the crosshair", run: () => pointing.confirm(true) },
    { group: "Mask", keys: ["Escape"], shown: "Esc", does: "Discard", run: () => commands.escape() },
    { group: "Mask", keys: ["mod+z"], shown: "Ctrl Z", does: "Undo", run: () => commands.undo() },
    { group: "Mask", keys: ["mod+shift+z", "mod+y"], shown: "Ctrl Shift Z", does: "Redo", run: () => commands.redo() },
    ...ARROWS.map(({ keys, by: [dx, dy] }, i) => ({
      group: "Mask",
      keys,
      shown: i ? "" : "Arrows",
      does: i ? "" : "Move the crosshair; with Shift in small steps",
      run: (/** @type {KeyboardEvent} */ { shiftKey }) => {
        // Elsewhere arrows scroll.
        if (document.activeElement !== stage.element && document.activeElement !== document.body) return false;
        const step = shiftKey ? 1 : 12;
        pointing.moveCrosshair(dx * step, dy * step);
        return true;
      },
    })),

    { group: "Labels and list", keys: ["l"], shown: "L", does: "Type a label", run: () => focusLabel(store) },
    {
      group: "Labels and list",
      keys: ["1", "2", "3", "4", "5", "6", "7", "8", "9"],
      shown: "1 to 9",
      does: "A recent label",
      run: ({ key }) => {
        const label = store.state.recentLabels[Number(key) - 1];
        if (label !== undefined) commands.setLabel(label);
        return label !== undefined;
      },
    },
    { group: "Labels and list", keys: ["Delete", "Backspace"], shown: "Del", does: "Delete the selected mask", run: onSelected((uuid) => commands.remove(uuid)) },
    { group: "Labels and list", keys: ["r"], shown: "R", does: "Edit the selected mask", run: onSelected((uuid) => commands.edit(uuid) && stage.element.focus()) },
    { group: "Labels and list", keys: ["v"], shown: "V", does: "Hide or show all masks", run: () => commands.toggleAll() },
    { group: "Labels and list", keys: ["n"], shown: "N", does: "Select the next mask", run: () => commands.selectNext() },

    { group: "Proposals", keys: ["y"], shown: "Y", does: "Take the proposal under the pointer, or the selected one", run: onReview(() => reviews.acceptNext(), () => decisions.takeNext()) },
    { group: "Proposals", keys: ["u"], shown: "U", does: "Reject it", run: onReview(() => returnMask(reviews), () => decisions.rejectNext()) },
    { group: "Proposals", keys: ["shift+y"], shown: "Shift Y", does: "Take all", run: () => decisions.take() },
    { group: "Proposals", keys: ["shift+u"], shown: "Shift U", does: "Reject all", run: () => decisions.reject() },

    ...(isReviewer
      ? [
          { group: "Review", keys: [], shown: "Y", does: "Accept the mask under the pointer, or the selected one" },
          { group: "Review", keys: [], shown: "U", does: "Return it, with a note" },
          { group: "Review", keys: [], shown: "R", does: "Fix the selected mask" },
        ]
      : []),
    { group: "Task", keys: ["c"], shown: "C", does: "Done, or accepted: the next image of the queue", run: onTask(task.done) },
    ...(isReviewer ? [{ group: "Task", keys: ["w"], shown: "W", does: "Return a reviewed image, with a note", run: onTask(task.giveBack) }] : []),
    { group: "Task", keys: ["x"], shown: "X", does: "Skip, with a reason", run: onTask(task.skip) },
    { group: "Task", keys: ["q"], shown: "Q", does: "Flag, with a reason", run: onTask(task.flag) },

    { group: "View", keys: ["+", "="], shown: "+ or Wheel", does: "Zoom in", run: () => stage.zoom(ZOOM_STEP) },
    { group: "View", keys: ["-"], shown: "−", does: "Zoom out", run: () => stage.zoom(1 / ZOOM_STEP) },
    { group: "View", keys: ["0", "f"], shown: "F or 0", does: "Fit", run: () => stage.fit() },
    { group: "View", keys: [" "], shown: "Space", does: "Hold and drag: move the image", run: () => {} },
    { group: "View", keys: ["PageDown", "j"], shown: "PgDn or J", does: "Next image", run: () => page.move(1) },
    { group: "View", keys: ["PageUp", "k"], shown: "PgUp or K", does: "Previous image", run: () => page.move(-1) },
    { group: "View", keys: ["o"], shown: "O", does: "All images", run: () => page.leave() },

    ...(team
      ? [
          { group: "Gallery", keys: ["c"], shown: "C", does: "Annotate the next image", run: () => void task.begin("annotate") },
          ...(isReviewer ? [{ group: "Gallery", keys: ["w"], shown: "W", does: "Review the next image", run: () => void task.begin("verify") }] : []),
          { group: "Page", keys: ["i"], shown: "I", does: "Instructions", run: () => page.instructions() },
        ]
      : []),
    ...(team?.role === "owner" ? [{ group: "Page", keys: ["p"], shown: "P", does: "The team's numbers", run: () => page.statistics() }] : []),
    { group: "Page", keys: ["t"], shown: "T", does: "Dark or light", run: () => page.theme() },
    { group: "Page", keys: ["?"], shown: "?", does: "This sheet", run: () => page.help() },
  ];
}

/** @param {PageStore} store */
function focusLabel({ state: { selected, session } }) {
  const field = selected && isBlank(session) ? document.querySelector(`[data-key="label-${selected}"]`) : byId("label");
  if (!(field instanceof HTMLInputElement) || !field.offsetParent) return false;
  field.focus();
  field.select();
  return true;
}
