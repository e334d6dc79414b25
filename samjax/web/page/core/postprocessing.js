/**
 * Masks from the decoder's low-res logits and from run lengths: outlines to be drawn, and
 * exact run lengths at the size of the image to be stored.
 */

import { traceContour } from "./contour.js";
import { previewSize } from "./frame.js";
import { traceOutline } from "./outline.js";
import { levelsOf, masksToShow } from "./prompts.js";
import { areaOf, countsToMask, decode, maskToCounts, textToCounts, toSegmentation } from "./run_lengths.js";
import { paintStroke } from "./strokes.js";
import { stabilityScore, upsampleBits } from "./upsample.js";

/** @typedef {import("./frame.js").Frame} Frame */
/** @typedef {import("./prompts.js").Prompt} Prompt */
/** @typedef {import("./run_lengths.js").Segmentation} Segmentation */
/** @typedef {import("./strokes.js").Stroke} Stroke */

/**
 * Output of the mask decoder for one prompt.
 * @typedef {object} DecoderOutput
 * @property {Float32Array} masks low-res logits of all masks, one mask after another
 * @property {Float32Array} scores predicted IoU of each mask
 * @property {number} side of a mask, in low-res pixels
 */

/**
 * An outline with the size of the mask that it was traced on.
 * @typedef {object} Shape
 * @property {Int32Array | Float32Array} outline
 * @property {[number, number]} size height and width
 */

/**
 * A predicted mask as it is drawn before it is accepted.
 * @typedef {object} PreviewMask
 * @property {number} index of the mask in the decoder's output
 * @property {number} score predicted IoU
 * @property {number} area in pixels of the image, approximate
 * @property {"whole" | "part" | "subpart" | null} level
 * @property {Shape} shape
 */

/**
 * A mask at the size of the image, exact.
 * @typedef {object} FullMask
 * @property {Segmentation} segmentation
 * @property {number} area
 * @property {Shape} shape
 */

const LONGEST_TRACED = 2048;
// More edges than this would block the page's thread at every redraw.
const MAX_EDGES = 12_000;
const LONGEST_STABILITY = 512;

/**
 * @param {Prompt} prompt
 * @param {Frame} frame
 * @param {DecoderOutput} output
 * @param {boolean} onlyBest
 * @returns {PreviewMask[]} by descending score
 */
export function previewMasks(prompt, frame, output, onlyBest) {
  const indices = masksToShow(prompt, output.scores);
  const masks = (onlyBest ? indices.slice(0, 1) : indices).map((index) => {
    const { outline, size, area } = traceContour(logitsOf(output, index), output.side, frame);
    return { index, score: output.scores[index], area, shape: { outline, size } };
  });
  const levels = levelsOf(masks.map(({ area }) => area));
  return masks.map((mask, i) => ({ ...mask, level: levels[i] }));
}

/**
 * Upsamples one mask of the decoder's output to the size of the image.
 * @param {Frame} frame
 * @param {DecoderOutput} output
 * @param {number} index
 * @returns {FullMask & {stabilityScore: number}}
 */
export function fullMask(frame, output, index) {
  const logits = logitsOf(output, index);
  const bits = upsampleBits(logits, output.side, frame, frame.originalSize);
  const size = previewSize(frame.originalSize, LONGEST_STABILITY);
  return {
    ...maskOfBits(bits, frame.originalSize),
    stabilityScore: stabilityScore(logits, output.side, frame, size),
  };
}

/**
 * Applies a stroke of the brush or the eraser.
 * @param {Segmentation | null} segmentation null for an empty mask
 * @param {[number, number]} size height and width of the image
 * @param {Stroke} stroke
 * @returns {FullMask}
 */
export function paintedMask(segmentation, size, stroke) {
  const bits = segmentation ? decode(segmentation) : new Uint8Array(size[0] * size[1]);
  paintStroke(bits, size, stroke);
  return maskOfBits(bits, size);
}

/**
 * Measures and outlines a stored mask.
 * @param {Segmentation} segmentation
 * @returns {FullMask}
 */
export function tracedMask(segmentation) {
  const counts = textToCounts(segmentation.counts);
  const bits = countsToMask(counts, segmentation.size);
  return { segmentation, area: areaOf(counts), shape: shapeOf(bits, segmentation.size) };
}

/**
 * @param {DecoderOutput} output
 * @param {number} index
 * @returns {Float32Array} low-res logits of one mask, a view
 */
export function logitsOf({ masks, side }, index) {
  return masks.subarray(index * side * side, (index + 1) * side * side);
}

/**
 * @param {Uint8Array} bits
 * @param {[number, number]} size
 * @returns {FullMask}
 */
function maskOfBits(bits, size) {
  // The runs give both text and area: the text is not decoded again to measure the mask.
  const counts = maskToCounts(bits, size);
  return { segmentation: toSegmentation(counts, size), area: areaOf(counts), shape: shapeOf(bits, size) };
}

/**
 * @param {Uint8Array} bits
 * @param {[number, number]} size
 * @returns {Shape}
 */
function shapeOf(bits, size) {
  for (let longest = LONGEST_TRACED; ; longest /= 2) {
    const smaller = previewSize(size, longest);
    const traced = smaller[0] === size[0] ? bits : subsample(bits, size, smaller);
    if (longest > 64 && countEdges(traced, smaller[1]) > MAX_EDGES) continue;
    return { outline: traceOutline(traced, smaller), size: smaller };
  }
}

/**
 * @param {Uint8Array} bits
 * @param {number} width
 * @returns {number} neighbours that differ; approximate, since rows are not told apart
 */
function countEdges(bits, width) {
  let edges = 0;
  for (let at = width; at < bits.length; at++) {
    edges += (bits[at] ^ bits[at - 1]) + (bits[at] ^ bits[at - width]);
  }
  return edges;
}

/**
 * @param {Uint8Array} bits
 * @param {[number, number]} size
 * @param {[number, number]} smaller
 * @returns {Uint8Array} the pixel at the centre of each cell
 */
function subsample(bits, [height, width], [rows, columns]) {
  const out = new Uint8Array(rows * columns);
  const sources = Int32Array.from({ length: columns }, (_, x) => Math.floor(((x + 0.5) * width) / columns));
  for (let y = 0; y < rows; y++) {
    const start = Math.floor(((y + 0.5) * height) / rows) * width;
    for (let x = 0; x < columns; x++) out[y * columns + x] = bits[start + sources[x]];
  }
  return out;
}
