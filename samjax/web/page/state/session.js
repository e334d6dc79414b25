/**
 * The mask that is being made, as one immutable value: undo is a return to an earlier one.
 */

import { isEmpty, NO_PROMPT } from "../core/prompts.js";

/** @typedef {import("../core/prompts.js").Prompt} Prompt */
/** @typedef {import("../core/postprocessing.js").FullMask} FullMask */
/** @typedef {import("../core/postprocessing.js").PreviewMask} PreviewMask */
/** @typedef {import("../core/postprocessing.js").Shape} Shape */
/** @typedef {import("../io/backend.js").Source} Source */
/** @typedef {import("../io/backend.js").Level} Level */

/**
 * @typedef {object} Session
 * @property {Prompt} prompt
 * @property {FullMask | null} drawn mask from strokes, a proposal or the list rather than
 *   from the prompt; shown until a prompt is added, which then has it as its mask input
 * @property {number | null} choice index among the predicted masks; null for the best
 * @property {string | null} editing uuid of the stored mask that this replaces
 * @property {Source} source
 * @property {boolean} edited by strokes
 * @property {number | null} score of `drawn`
 * @property {number | null} stability of `drawn`
 * @property {Level | null} level of `drawn`
 */

/** @typedef {{session: Session, masks: PreviewMask[]} | null} Prediction */

/**
 * The mask on show.
 * @typedef {{shape: Shape, area: number, score: number | null, index: number | null, level: Level | null}} ShownMask
 */

/** @type {Session} */
export const EMPTY_SESSION = Object.freeze({
  prompt: NO_PROMPT,
  drawn: null,
  choice: null,
  editing: null,
  source: "click",
  edited: false,
  score: null,
  stability: null,
  level: null,
});

/**
 * @param {Session} session
 * @returns {boolean} whether it has neither a prompt nor a mask
 */
export function isBlank({ prompt, drawn }) {
  return isEmpty(prompt) && !drawn;
}

/**
 * @param {Session} session
 * @param {Prediction} prediction the last one, which may be of an earlier prompt
 * @returns {ShownMask | null}
 */
export function shownMask(session, prediction) {
  const { drawn, score, choice, level } = session;
  if (drawn) return { shape: drawn.shape, area: drawn.area, score, index: null, level };
  if (isBlank(session) || !prediction) return null;
  const { masks } = prediction;
  return masks.find(({ index }) => index === choice) ?? masks[0];
}

/**
 * @param {Session} session
 * @param {Prediction} prediction
 * @returns {PreviewMask[]} the multimask output to choose from, the largest first; empty
 *   where there is no choice
 */
export function choicesOf(session, prediction) {
  if (session.drawn || isBlank(session) || prediction?.session.prompt !== session.prompt) return [];
  return prediction.masks.length > 1 ? [...prediction.masks].sort((a, b) => b.area - a.area) : [];
}

/**
 * Changes the prompt. A drawn mask becomes the prompt's mask input.
 * @param {Session} session
 * @param {(prompt: Prompt) => Prompt} change
 * @returns {Session}
 */
export function withPrompt(session, change) {
  const mask = session.drawn?.area ? session.drawn.segmentation : session.prompt.mask;
  return { ...session, prompt: change({ ...session.prompt, mask }), drawn: null, choice: null };
}
