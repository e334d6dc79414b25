/** Prompts for one object: their encoding for the decoder, and the masks that they select. */

import { toModel } from "./frame.js";

/** @typedef {import("./frame.js").Frame} Frame */
/** @typedef {import("./frame.js").Point} Point */
/** @typedef {import("./frame.js").Box} Box */
/** @typedef {import("./run_lengths.js").Segmentation} Segmentation */

/**
 * Immutable; in pixels of the original image.
 * @typedef {object} Prompt
 * @property {readonly Point[]} points
 * @property {readonly (0 | 1)[]} labels 1 foreground, 0 background
 * @property {Box | null} box
 * @property {Segmentation | null} mask
 * @property {string | null} text
 */

/**
 * @typedef {object} PointInputs
 * @property {Float32Array} point_coords (x, y) in pixels of the model's input
 * @property {Float32Array} point_labels
 */

/** @type {Prompt} */
export const NO_PROMPT = Object.freeze({ points: [], labels: [], box: null, mask: null, text: null });

export const LEVELS = /** @type {const} */ (["whole", "part", "subpart"]);

/**
 * @param {Prompt} prompt
 * @returns {boolean}
 */
export function isEmpty({ points, box, mask, text }) {
  return points.length === 0 && !box && !mask && !text;
}

/**
 * @param {Prompt} prompt
 * @param {Point} point
 * @param {0 | 1} label
 * @returns {Prompt}
 */
export function withPoint(prompt, point, label) {
  return { ...prompt, points: [...prompt.points, point], labels: [...prompt.labels, label] };
}

/**
 * @param {Prompt} prompt
 * @param {number} index
 * @returns {Prompt}
 */
export function withoutPoint(prompt, index) {
  return {
    ...prompt,
    points: prompt.points.filter((_, i) => i !== index),
    labels: prompt.labels.filter((_, i) => i !== index),
  };
}

/**
 * A box is encoded as its corners with the labels 2 and 3. Without a box there is one
 * padding point (0, 0) of label -1: exactly one, since each is a token of the decoder.
 * @param {Prompt} prompt
 * @param {Frame} frame
 * @returns {PointInputs}
 */
export function toInputs({ points, labels, box }, frame) {
  const coords = points.map((point) => toModel(frame, point));
  /** @type {number[]} */
  const codes = [...labels];
  if (box) {
    coords.push(toModel(frame, [box[0], box[1]]), toModel(frame, [box[2], box[3]]));
    codes.push(2, 3);
  } else {
    coords.push([0, 0]);
    codes.push(-1);
  }
  return {
    point_coords: Float32Array.from(coords.flat()),
    point_labels: Float32Array.from(codes),
  };
}

/**
 * The paper's rule, as in `samjax.Prompt.is_ambiguous`: at most one point, box, mask or text
 * is ambiguous, and selects the multimask output (masks 1 to 3); several select mask 0.
 * @param {Prompt} prompt
 * @returns {boolean}
 */
export function isAmbiguous({ points, box, mask, text }) {
  const others = [box, mask, text].filter((value) => value !== null);
  return points.length + others.length <= 1;
}

/**
 * @param {Prompt} prompt
 * @param {ArrayLike<number>} scores predicted IoU of all masks
 * @returns {number[]} indices of the masks, by descending score
 */
export function masksToShow(prompt, scores) {
  if (!isAmbiguous(prompt) || scores.length < 2) return [0];
  return Array.from({ length: scores.length - 1 }, (_, i) => i + 1).sort(
    (a, b) => scores[b] - scores[a],
  );
}

/**
 * Names the masks of an ambiguous prompt by their size.
 * @param {number[]} areas
 * @returns {(typeof LEVELS[number] | null)[]}
 */
export function levelsOf(areas) {
  if (areas.length < 2) return areas.map(() => null);
  const order = areas.map((_, i) => i).sort((a, b) => areas[b] - areas[a]);
  return areas.map((_, i) => LEVELS[order.indexOf(i)] ?? null);
}

/**
 * @param {Point} from
 * @param {Point} to
 * @returns {Box}
 */
export function boxBetween(from, to) {
  return [
    Math.min(from[0], to[0]),
    Math.min(from[1], to[1]),
    Math.max(from[0], to[0]),
    Math.max(from[1], to[1]),
  ];
}
