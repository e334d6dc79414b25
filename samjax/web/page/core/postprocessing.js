/** Masks as the page shows and keeps them: outlines, run lengths, and their numbers. */

import { traceContour } from "./contour.js";
import { previewSize } from "./frame.js";
import { traceOutline } from "./outline.js";
import { levelsOf, masksToShow } from "./prompts.js";
import { areaOf, decode, encode, textToCounts } from "./run_lengths.js";
import { paintStroke } from "./strokes.js";
import { stabilityScore, upsampleBits } from "./upsample.js";

/** @typedef {import("./frame.js").Frame} Frame */
/** @typedef {import("./prompts.js").Prompt} Prompt */
/** @typedef {import("../model/decoder_sessions.js").Logits} Logits */
/** @typedef {import("./run_lengths.js").Segmentation} Segmentation */
/** @typedef {import("./strokes.js").Stroke} Stroke */

/**
 * An outline with the size of the mask that it was traced on.
 * @typedef {object} Shape
 * @property {Int32Array | Float32Array} outline
 * @property {[number, number]} size height and width
 */

/**
 * @typedef {object} ShownMask
 * @property {number} index of the mask in the decoder's answer
 * @property {number} score predicted IoU
 * @property {number} area in pixels of the image, about
 * @property {"whole" | "part" | "subpart" | null} level
 * @property {Shape} shape
 */

/**
 * @typedef {object} KeptMask
 * @property {Segmentation} segmentation
 * @property {number} area
 * @property {Shape} shape
 */

const LONGEST_KEPT = 2048;
// More edges than this would hold the page up whenever they are drawn.
const MOST_EDGES = 12_000;
const LONGEST_STABILITY = 512;

/**
 * @param {Prompt} prompt
 * @param {Frame} frame
 * @param {Logits} logits
 * @param {boolean} onlyBest
 * @returns {ShownMask[]} the best first
 */
export function showAnswer(prompt, frame, logits, onlyBest) {
  const indices = masksToShow(prompt, logits.scores);
  const shown = (onlyBest ? indices.slice(0, 1) : indices).map((index) => {
    const { outline, size, area } = traceContour(maskOf(logits, index), logits.side, frame);
    return { index, score: logits.scores[index], area, shape: { outline, size } };
  });
  const levels = levelsOf(shown.map(({ area }) => area));
  return shown.map((mask, i) => ({ ...mask, level: levels[i] }));
}

/**
 * A mask at the size of the image, to be kept.
 * @param {Frame} frame
 * @param {Logits} logits
 * @param {number} index
 * @returns {KeptMask & {stabilityScore: number}}
 */
export function keepAnswer(frame, logits, index) {
  const mask = maskOf(logits, index);
  const bits = upsampleBits(mask, logits.side, frame, frame.originalSize);
  const size = previewSize(frame.originalSize, LONGEST_STABILITY);
  return {
    ...keepBits(bits, frame.originalSize),
    stabilityScore: stabilityScore(mask, logits.side, frame, size),
  };
}

/**
 * @param {Segmentation | null} segmentation null for an empty mask
 * @param {[number, number]} size height and width of the image
 * @param {Stroke} stroke
 * @returns {KeptMask}
 */
export function drawStroke(segmentation, size, stroke) {
  const bits = segmentation ? decode(segmentation) : new Uint8Array(size[0] * size[1]);
  paintStroke(bits, size, stroke);
  return keepBits(bits, size);
}

/**
 * @param {Segmentation} segmentation
 * @returns {KeptMask}
 */
export function drawSegmentation(segmentation) {
  const counts = textToCounts(segmentation.counts);
  return {
    segmentation,
    area: areaOf(counts),
    shape: shapeOf(decode(segmentation), segmentation.size),
  };
}

/**
 * @param {Logits} logits
 * @param {number} index
 * @returns {Float32Array}
 */
export function maskOf({ masks, side }, index) {
  return masks.subarray(index * side * side, (index + 1) * side * side);
}

/**
 * @param {Uint8Array} bits
 * @param {[number, number]} size
 * @returns {KeptMask}
 */
function keepBits(bits, size) {
  const segmentation = encode(bits, size);
  return { segmentation, area: areaOf(textToCounts(segmentation.counts)), shape: shapeOf(bits, size) };
}

/**
 * @param {Uint8Array} bits
 * @param {[number, number]} size
 * @returns {Shape}
 */
function shapeOf(bits, size) {
  for (let longest = LONGEST_KEPT; ; longest /= 2) {
    const smaller = previewSize(size, longest);
    const drawn = smaller[0] === size[0] ? bits : shrink(bits, size, smaller);
    if (longest > 64 && countEdges(drawn, smaller[1]) > MOST_EDGES) continue;
    return { outline: traceOutline(drawn, smaller), size: smaller };
  }
}

/**
 * @param {Uint8Array} bits
 * @param {number} width
 * @returns {number} neighbours that differ, about
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
 * @returns {Uint8Array} the pixels at the centres
 */
function shrink(bits, [height, width], [rows, columns]) {
  const out = new Uint8Array(rows * columns);
  const across = Int32Array.from({ length: columns }, (_, x) => Math.floor(((x + 0.5) * width) / columns));
  for (let y = 0; y < rows; y++) {
    const start = Math.floor(((y + 0.5) * height) / rows) * width;
    for (let x = 0; x < columns; x++) out[y * columns + x] = bits[start + across[x]];
  }
  return out;
}
