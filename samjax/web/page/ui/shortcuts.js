/** What each key does on an image. */

import { byId } from "./dom.js";
import { toggleAll } from "./masks_panel.js";
import { TOOLS } from "./toolbar.js";

/** @typedef {import("./workspace.js").Workspace} Workspace */
/** @typedef {import("./keys.js").KeyAction} KeyAction */

/**
 * @param {Workspace} workspace
 * @param {{move: (by: number) => void, leave: () => void, theme: () => void, help: () => void}} page
 * @returns {KeyAction[]}
 */
export function workspaceKeys(workspace, page) {
  const { editor, stage, labels, pointing } = workspace;
  const onSelected = (/** @type {(uuid: string) => void} */ run) => () => {
    if (!workspace.selected) return false;
    run(workspace.selected);
    return true;
  };
  return [
    ...TOOLS.map(({ tool, name, key }) => ({
      group: "Tools",
      keys: [key],
      shown: key.toUpperCase(),
      does: name,
      run: () => workspace.choose(tool),
    })),
    { group: "Tools", keys: ["["], shown: "[", does: "Smaller brush", run: () => workspace.resizeBrush(1 / 1.25) },
    { group: "Tools", keys: ["]"], shown: "]", does: "Larger brush", run: () => workspace.resizeBrush(1.25) },

    { group: "Mask", keys: [], shown: "Click", does: "Add to the mask; on a point: remove it" },
    { group: "Mask", keys: [], shown: "Right-click or Alt", does: "Take away from the mask" },
    { group: "Mask", keys: ["m"], shown: "M", does: "Whole, part, subpart", run: () => editor.cycle() },
    { group: "Mask", keys: ["Enter"], shown: "Enter", does: "Accept, or place a point at the crosshair", run: () => pointing.confirm(false) },
    { group: "Mask", keys: ["shift+Enter"], shown: "Shift Enter", does: "Take away at the crosshair", run: () => pointing.confirm(true) },
    { group: "Mask", keys: ["Escape"], shown: "Esc", does: "Discard", run: () => workspace.escape() },
    { group: "Mask", keys: ["mod+z"], shown: "Ctrl Z", does: "Undo", run: () => workspace.undo() },
    { group: "Mask", keys: ["mod+shift+z", "mod+y"], shown: "Ctrl Shift Z", does: "Redo", run: () => workspace.redo() },
    ...[
      { keys: ["ArrowLeft", "shift+ArrowLeft"], by: [-1, 0] },
      { keys: ["ArrowRight", "shift+ArrowRight"], by: [1, 0] },
      { keys: ["ArrowUp", "shift+ArrowUp"], by: [0, -1] },
      { keys: ["ArrowDown", "shift+ArrowDown"], by: [0, 1] },
    ].map(({ keys, by: [dx, dy] }, i) => ({
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

    { group: "Labels and list", keys: ["l"], shown: "L", does: "Type a label", run: () => focusLabel(workspace) },
    {
      group: "Labels and list",
      keys: ["1", "2", "3", "4", "5", "6", "7", "8", "9"],
      shown: "1 to 9",
      does: "A recent label",
      run: ({ key }) => {
        const label = labels.recent[Number(key) - 1];
        if (label === undefined) return false;
        workspace.setLabel(label);
        return true;
      },
    },
    { group: "Labels and list", keys: ["Delete", "Backspace"], shown: "Del", does: "Delete the selected mask", run: onSelected((uuid) => workspace.remove(uuid)) },
    { group: "Labels and list", keys: ["r"], shown: "R", does: "Edit the selected mask", run: onSelected((uuid) => workspace.edit(uuid)) },
    { group: "Labels and list", keys: ["v"], shown: "V", does: "Hide or show all masks", run: () => toggleAll(workspace.saving.store) },
    { group: "Labels and list", keys: ["n"], shown: "N", does: "Select the next mask", run: () => selectNext(workspace) },

    { group: "View", keys: ["+", "="], shown: "+ or Wheel", does: "Zoom in", run: () => stage.zoom(1.4) },
    { group: "View", keys: ["-"], shown: "−", does: "Zoom out", run: () => stage.zoom(1 / 1.4) },
    { group: "View", keys: ["0", "f"], shown: "F or 0", does: "Fit", run: () => stage.fit() },
    { group: "View", keys: [" "], shown: "Space", does: "Hold and drag: move the image", run: () => {} },
    { group: "View", keys: ["PageDown", "j"], shown: "PgDn or J", does: "Next image", run: () => page.move(1) },
    { group: "View", keys: ["PageUp", "k"], shown: "PgUp or K", does: "Previous image", run: () => page.move(-1) },
    { group: "View", keys: ["o"], shown: "O", does: "All images", run: () => page.leave() },

    { group: "Page", keys: ["t"], shown: "T", does: "Dark or light", run: () => page.theme() },
    { group: "Page", keys: ["?"], shown: "?", does: "This sheet", run: () => page.help() },
  ];
}

/** @param {Workspace} workspace */
function focusLabel({ selected, editor }) {
  const place = selected && editor.isEmpty ? document.querySelector(`[data-key="label-${selected}"]`) : byId("label");
  if (!(place instanceof HTMLInputElement) || !place.offsetParent) return false;
  place.focus();
  place.select();
  return true;
}

/** @param {Workspace} workspace */
function selectNext(workspace) {
  const masks = [...workspace.saving.store.list].reverse();
  if (!masks.length) return false;
  const at = masks.findIndex(({ uuid }) => uuid === workspace.selected);
  workspace.select(masks[(at + 1) % masks.length].uuid);
  return true;
}
