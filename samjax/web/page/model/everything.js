/**
 * All masks of an image, asked for by a grid of points, in the page.
 *
 * As the released generator without crops: three masks a point, those kept that the
 * model thinks well of and that hardly depend on the threshold, of near duplicates the
 * best. Stability and boxes are measured on a smaller image than the server's.
 */

import { keepAnswer, maskOf } from "../core/postprocessing.js";
import { previewSize } from "../core/frame.js";
import { nms, pointGrid } from "../core/overlaps.js";
import { extentOf, maskToCounts } from "../core/run_lengths.js";
import { stabilityScore, upsampleBits } from "../core/upsample.js";

/** @typedef {import("../core/frame.js").Frame} Frame */
/** @typedef {import("../core/frame.js").Point} Point */
/** @typedef {import("./decoder_sessions.js").Logits} Logits */
/** @typedef {import("../core/prompts.js").Prompt} Prompt */

/**
 * @typedef {object} EverythingOptions
 * @property {number} points_per_side
 * @property {number} pred_iou_thresh
 * @property {number} stability_score_thresh
 */

/**
 * @typedef {import("../core/postprocessing.js").KeptMask & {score: number, stabilityScore: number, point: Point | null}} FoundMask
 */

const LONGEST = 512;
const BOX_NMS = 0.7;

/**
 * @param {(prompt: Prompt) => Promise<Logits>} answer
 * @param {Frame} frame
 * @param {EverythingOptions} options
 * @param {(done: number, total: number) => Promise<boolean>} onProgress says whether to go on
 * @returns {Promise<FoundMask[] | null>} null where it was cancelled
 */
export async function findEverything(answer, frame, options, onProgress) {
  const size = previewSize(frame.originalSize, LONGEST);
  const points = pointGrid(options.points_per_side, frame.originalSize);
  /** @type {{logits: Logits, point: Point, score: number, box: number[]}[]} */
  const candidates = [];
  for (let i = 0; i < points.length; i++) {
    if (!(await onProgress(i, points.length))) return null;
    const point = points[i];
    const logits = await answer({ points: [point], labels: [1], box: null, mask: null, text: null });
    for (let index = 1; index < logits.scores.length; index++) {
      const score = logits.scores[index];
      if (!(score > options.pred_iou_thresh)) continue;
      const mask = maskOf(logits, index);
      if (stabilityScore(mask, logits.side, frame, size) < options.stability_score_thresh) continue;
      const box = extentOf(maskToCounts(upsampleBits(mask, logits.side, frame, size), size), size[0]);
      // A copy, so that the other masks of the answer can go.
      if (box) candidates.push({ logits: { masks: mask.slice(), scores: logits.scores, side: logits.side }, point, score, box });
    }
  }
  const kept = nms(
    candidates.map(({ box }) => box),
    candidates.map(({ score }) => score),
    BOX_NMS,
  );
  return kept.map((i) => {
    const { logits, point, score } = candidates[i];
    return { ...keepAnswer(frame, logits, 0), score, point };
  });
}
