/**
 * Automatic mask generation in the page: a grid of point prompts.
 *
 * As the released generator without crops: three masks per point, filtered by predicted
 * IoU and stability score, then box NMS. Stability scores and boxes are measured at a
 * lower resolution than on a server.
 */

import { fullMask, logitsOf } from "../core/postprocessing.js";
import { previewSize } from "../core/frame.js";
import { nms, pointGrid } from "../core/overlaps.js";
import { NO_PROMPT } from "../core/prompts.js";
import { extentOf, maskToCounts } from "../core/run_lengths.js";
import { stabilityScore, upsampleBits } from "../core/upsample.js";

/** @typedef {import("../core/frame.js").Frame} Frame */
/** @typedef {import("../core/frame.js").Point} Point */
/** @typedef {import("../core/postprocessing.js").DecoderOutput} DecoderOutput */
/** @typedef {import("../core/prompts.js").Prompt} Prompt */

/**
 * @typedef {object} EverythingOptions
 * @property {number} points_per_side
 * @property {number} pred_iou_thresh
 * @property {number} stability_score_thresh
 */

/**
 * @typedef {import("../core/postprocessing.js").FullMask & {score: number, stabilityScore: number, point: Point | null}} GeneratedMask
 */

// Longest side at which candidates are measured.
const LONGEST = 512;
const BOX_NMS_THRESH = 0.7;

/**
 * @param {(prompt: Prompt) => Promise<DecoderOutput>} predict
 * @param {Frame} frame
 * @param {EverythingOptions} options
 * @param {(done: number, total: number) => Promise<boolean>} onProgress returns whether to continue
 * @returns {Promise<GeneratedMask[] | null>} null where it was cancelled
 */
export async function generateMasks(predict, frame, options, onProgress) {
  const size = previewSize(frame.originalSize, LONGEST);
  const points = pointGrid(options.points_per_side, frame.originalSize);
  /** @type {{output: DecoderOutput, point: Point, score: number, box: number[]}[]} */
  const candidates = [];
  for (let i = 0; i < points.length; i++) {
    if (!(await onProgress(i, points.length))) return null;
    const point = points[i];
    const output = await predict({ ...NO_PROMPT, points: [point], labels: [1] });
    // Mask 0 is for unambiguous prompts: a lone point has masks 1 to 3.
    for (let index = 1; index < output.scores.length; index++) {
      const score = output.scores[index];
      if (!(score > options.pred_iou_thresh)) continue;
      const logits = logitsOf(output, index);
      if (stabilityScore(logits, output.side, frame, size) < options.stability_score_thresh) continue;
      const box = extentOf(maskToCounts(upsampleBits(logits, output.side, frame, size), size), size[0]);
      // A copy of one mask: a view would keep all masks of the output in memory.
      if (box) candidates.push({ output: { ...output, masks: logits.slice() }, point, score, box });
    }
  }
  const kept = nms(
    candidates.map(({ box }) => box),
    candidates.map(({ score }) => score),
    BOX_NMS_THRESH,
  );
  return kept.map((i) => {
    const { output, point, score } = candidates[i];
    return { ...fullMask(frame, output, 0), score, point };
  });
}
