/** The controls over the image: zoom and the size of the brush. */

import { byId, icon } from "./dom.js";

/** @typedef {import("../state/state.js").PageStore} PageStore */

export const ZOOM_STEP = 1.4;

/**
 * @param {PageStore} store
 * @param {import("./stage.js").Stage} stage
 * @param {import("../state/commands.js").Commands} commands
 */
export function makeViewControls(store, stage, commands) {
  for (const [id, name, run] of /** @type {const} */ ([
    ["zoom-in", "add", () => stage.zoom(ZOOM_STEP)],
    ["zoom-out", "subtract", () => stage.zoom(1 / ZOOM_STEP)],
    ["zoom-fit", "fit", () => stage.fit()],
  ])) {
    byId(id).append(icon(name));
    byId(id).title = byId(id).getAttribute("aria-label") ?? "";
    byId(id).addEventListener("click", run);
  }
  const radius = /** @type {HTMLInputElement} */ (byId("brush-radius"));
  radius.addEventListener("input", () => commands.setBrush(Number(radius.value)));
  const showZoom = () => (byId("zoom-value").textContent = `${Math.round(store.state.view.scale * 100)}%`);
  const showBrush = () => {
    const { tool, brushRadius } = store.state;
    radius.value = String(brushRadius);
    byId("brush-value").textContent = String(2 * brushRadius);
    byId("brush-size").hidden = tool !== "brush" && tool !== "eraser";
  };
  store.watch(["view"], showZoom);
  store.watch(["tool", "brushRadius"], showBrush);
  showZoom();
  showBrush();
}
