/**
 * The two layers of the stage as values: below, masks that change rarely; above, the mask
 * that is being made and all that follows the pointer.
 */

import { isProposed } from "../state/decisions.js";
import { isBlank, shownMask } from "../state/session.js";

/** @typedef {import("../core/frame.js").Point} Point */
/** @typedef {import("../core/frame.js").Box} Box */
/** @typedef {import("../core/postprocessing.js").Shape} Shape */
/** @typedef {import("../core/strokes.js").Stroke} Stroke */
/** @typedef {import("../state/state.js").Region} Region */
/** @typedef {import("../state/state.js").State} State */

/** @typedef {{key: string, shape: Shape, strong: boolean, faint: boolean, dashed: boolean}} LayerMask */

/**
 * @typedef {object} UpperLayer
 * @property {Shape | null} active
 * @property {Shape | null} hovered
 * @property {{points: readonly Point[], labels: readonly (0 | 1)[], box: Box | null}} prompt
 * @property {Shape | null} former version of a mask
 * @property {readonly Region[]} regions to blur
 * @property {Box | null} box while it is drawn
 * @property {Stroke | null} stroke while it is drawn
 * @property {{point: Point, radius: number} | null} tip of the brush
 * @property {Point | null} crosshair
 */

/** @type {(keyof State)[]} */
export const LOWER_KEYS = ["masks", "proposals", "session", "selected", "highlighted"];
/** @type {(keyof State)[]} */
export const UPPER_KEYS = ["session", "prediction", "hovered", "draggedBox", "stroke", "crosshair", "tool", "brushRadius", "pointer", "regions", "former"];

/**
 * @param {Readonly<State>} state
 * @returns {LayerMask[]}
 */
export function lowerLayer({ masks, proposals, session, selected, highlighted }) {
  const faint = !isBlank(session);
  const layer = masks.flatMap((mask) => {
    const { uuid, shape, visible } = mask;
    if (!visible || !shape || uuid === session.editing) return [];
    return [{ key: uuid, shape, strong: uuid === highlighted || uuid === selected, faint: faint || proposals.length > 0, dashed: isProposed(mask) }];
  });
  return [...layer, ...proposals.map(({ key, mask: { shape } }) => ({ key, shape, strong: key === highlighted, faint, dashed: false }))];
}

/**
 * @param {Readonly<State>} state
 * @returns {UpperLayer}
 */
export function upperLayer(state) {
  const { session, prediction, hovered, former, regions, draggedBox, stroke, crosshair } = state;
  return {
    active: shownMask(session, prediction)?.shape ?? null,
    hovered: hovered?.shape ?? null,
    prompt: session.prompt,
    former: former?.shape ?? null,
    regions,
    box: draggedBox,
    stroke,
    tip: brushTip(state),
    crosshair,
  };
}

/** @param {Readonly<State>} state */
function brushTip({ tool, pointer, brushRadius, view }) {
  if (!pointer || (tool !== "brush" && tool !== "eraser")) return null;
  return { point: pointer, radius: brushRadius / view.scale };
}

/**
 * @param {LayerMask[]} a
 * @param {LayerMask[]} b
 * @returns {boolean} whether both are drawn alike
 */
export function isSameLayer(a, b) {
  return a.length === b.length && a.every((mask, i) => mask.key === b[i].key && mask.shape === b[i].shape && mask.strong === b[i].strong && mask.faint === b[i].faint && mask.dashed === b[i].dashed);
}

/**
 * @param {UpperLayer} a
 * @param {UpperLayer} b
 * @returns {boolean} whether both are drawn alike
 */
export function isSameUpper(a, b) {
  if (a.tip?.point !== b.tip?.point || a.tip?.radius !== b.tip?.radius) return false;
  return /** @type {const} */ (["active", "hovered", "prompt", "former", "regions", "box", "stroke", "crosshair"]).every((key) => a[key] === b[key]);
}
