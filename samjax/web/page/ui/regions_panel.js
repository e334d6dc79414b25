/** The card of the regions to blur, while there are some or the tool is chosen. */

import { byId, el, iconButton, replaceChildren } from "./dom.js";
import { renderOn } from "./frames.js";

/** @typedef {import("../state/state.js").PageStore} PageStore */

/**
 * @param {PageStore} store
 * @param {import("../state/regions.js").Regions} regions
 */
export function makeRegionsPanel(store, regions) {
  const panel = byId("regions");
  const list = el("ul", { "data-testid": "region-list" });
  panel.append(el("h2", {}, "Regions to blur"), el("p", { class: "hint" }, "Drag a box around a face, a plate, or anything that shows who somebody is."), list);
  renderOn(store, ["regions", "tool"], ({ regions: all, tool }) => {
    panel.hidden = !all.length && tool !== "region";
    replaceChildren(
      list,
      all.map(({ uuid, box: [left, top, right, bottom] }, i) => {
        const size = `${Math.round(right - left)} × ${Math.round(bottom - top)} px`;
        return el("li", { class: "region", "data-testid": "region" }, el("span", {}, `Region ${i + 1}`), el("span", { class: "mask-facts" }, size), iconButton("remove", `Remove region ${i + 1}`, () => regions.remove(uuid), { "data-key": `region-${uuid}`, "data-testid": "remove-region" }));
      }),
    );
  });
}
