/** Masks in the page: run lengths, outlines, strokes, NMS. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { addToPath, traceOutline } from "../../../samjax/web/page/core/outline.js";
import { boxIou, nms, pointGrid } from "../../../samjax/web/page/core/overlaps.js";
import * as runs from "../../../samjax/web/page/core/run_lengths.js";
import { paintStroke } from "../../../samjax/web/page/core/strokes.js";
import { bitsLike, dice, encode, goldens } from "./goldens.js";

/** @type {[number, number][]} */
const SIZES = [[1, 1], [1, 9], [9, 1], [2, 2], [17, 33], [40, 15]];

test("masks have the run lengths that samjax gives them", () => {
  for (const { size, segmentation, area } of goldens.masks) {
    const bits = bitsLike(size[0] * size[1]);
    assert.deepEqual(encode(bits, size), segmentation);
    assert.deepEqual(runs.decode(segmentation), bits);
    assert.equal(runs.areaOf(runs.textToCounts(segmentation.counts)), area);
  }
});

test("every mask comes back from its run lengths", () => {
  for (const size of SIZES) {
    for (const bits of [...randomMasks(size, 20), solid(size, 0), solid(size, 1)]) {
      const coded = encode(bits, size);
      assert.deepEqual(runs.decode(coded), bits);
      assert.equal(runs.countsToText(runs.textToCounts(coded.counts)), coded.counts);
    }
  }
});

test("long runs survive their text", () => {
  const counts = [0, 40_000_000, 1, 2_000_000, 77, 3, 900_000_000];
  assert.deepEqual(runs.textToCounts(runs.countsToText(counts)), counts);
});

test("damaged run lengths are refused", () => {
  assert.throws(() => runs.textToCounts("o"), /damaged/);
  assert.throws(() => runs.textToCounts("\n"), /damaged/);
  assert.throws(() => runs.countsToMask([3], [2, 2]), /add up to 3/);
  assert.throws(() => runs.countsToMask([5, -1], [2, 2]), RangeError);
});

test("area, box and the pixel under a point are those of the pixels", () => {
  for (const size of SIZES) {
    for (const bits of randomMasks(size, 10)) {
      const counts = runs.maskToCounts(bits, size);
      const [height, width] = size;
      const set = [...bits.keys()].filter((i) => bits[i]);
      const xs = set.map((i) => i % width);
      const ys = set.map((i) => Math.floor(i / width));
      assert.equal(runs.areaOf(counts), set.length);
      const extent = set.length
        ? [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)]
        : null;
      assert.deepEqual(runs.extentOf(counts, height), extent);
      for (let i = 0; i < bits.length; i++) {
        const point = /** @type {[number, number]} */ ([(i % width) + 0.5, Math.floor(i / width) + 0.5]);
        assert.equal(runs.covers(counts, size, point), bits[i] === 1);
      }
    }
  }
  assert.equal(runs.covers([0, 4], [2, 2], [-0.1, 0]), false);
  assert.deepEqual(runs.cocoBox([5, 1, 3], 3), [1, 2, 1, 1]);
});

test("an outline, filled, is the mask again", () => {
  for (const size of SIZES) {
    for (const bits of [...randomMasks(size, 20), solid(size, 1)]) {
      assert.deepEqual(fill(traceOutline(bits, size), size), bits);
    }
  }
  assert.equal(traceOutline(new Uint8Array(12), [3, 4]).length, 0);
});

test("an outline has a corner only where it turns", () => {
  const bits = solid([5, 7], 0);
  for (const i of [8, 9, 10, 15, 16, 17]) bits[i] = 1;
  assert.deepEqual([...traceOutline(bits, [5, 7])].slice(0, 1), [4]);
  for (const mask of randomMasks([20, 20], 10)) {
    for (const loop of loopsOf(traceOutline(mask, [20, 20]))) {
      loop.forEach(([x, y], i) => {
        const [px, py] = loop[(i + loop.length - 1) % loop.length];
        const [nx, ny] = loop[(i + 1) % loop.length];
        assert.ok((px === x) !== (nx === x) && (py === y) !== (ny === y));
      });
    }
  }
});

test("a hole has a loop of its own, and pixels that touch at a corner stay apart", () => {
  const ring = solid([5, 5], 1);
  for (const i of [11, 12, 13]) ring[i] = 0;
  assert.deepEqual(loopsOf(traceOutline(ring, [5, 5])).map(({ length }) => length), [4, 4]);
  assert.equal(loopsOf(traceOutline(Uint8Array.of(1, 0, 0, 1), [2, 2])).length, 2);
});

test("a stroke sets what is within its radius, and an eraser takes it back", () => {
  const bits = solid([30, 40], 0);
  const points = /** @type {[number, number][]} */ ([[5.5, 5.5], [25.5, 20.5]]);
  paintStroke(bits, [30, 40], { points, radius: 3, erase: false });
  assert.equal(bits[5 * 40 + 5], 1);
  assert.equal(bits[13 * 40 + 15], 1);
  assert.equal(bits[8 * 40 + 2], 0);
  assert.equal(bits[2 * 40 + 5], 1);
  assert.equal(bits[1 * 40 + 5], 0);
  paintStroke(bits, [30, 40], { points, radius: 3, erase: true });
  assert.deepEqual(bits, solid([30, 40], 0));
});

test("a stroke leaves the image without harm, and the smallest tip has a pixel", () => {
  const bits = solid([10, 10], 0);
  paintStroke(bits, [10, 10], { points: [[-50, -50], [4, 4], [60, 3]], radius: 2, erase: false });
  assert.equal(bits.length, 100);
  const dot = solid([10, 10], 0);
  paintStroke(dot, [10, 10], { points: [[3.1, 7.9]], radius: 0.1, erase: false });
  assert.equal(dot[7 * 10 + 3], 1);
});

test("points of a grid are the centres of its cells", () => {
  assert.deepEqual(pointGrid(2, [100, 200]), [[50, 25], [150, 25], [50, 75], [150, 75]]);
});

test("of boxes that overlap the best stays, and ties go to the first", () => {
  const boxes = [[0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30], [20, 20, 30, 30], [5, 5, 5, 5]];
  assert.deepEqual(nms(boxes, [0.5, 0.9, 0.7, 0.7, 0.1], 0.7), [1, 2, 4]);
  assert.deepEqual(nms(boxes, [0.5, 0.9, 0.7, 0.7, 0.1], 1), [1, 2, 3, 0, 4]);
  assert.equal(boxIou(boxes[4], boxes[4]), 0);
});

/**
 * Blobs, not noise alone: outlines that touch, holes, and full rows.
 * @param {[number, number]} size
 * @param {number} count
 * @returns {Uint8Array[]}
 */
function randomMasks([height, width], count) {
  return Array.from({ length: count }, (_, seed) => {
    const roll = dice(seed * 31 + height * 7 + width);
    const bits = new Uint8Array(height * width);
    for (let k = 0; k < 6; k++) {
      const [x0, y0] = [roll(width), roll(height)];
      const [x1, y1] = [x0 + roll(width), y0 + roll(height)];
      const value = k % 3 === 2 ? 0 : 1;
      for (let y = y0; y <= Math.min(y1, height - 1); y++) {
        for (let x = x0; x <= Math.min(x1, width - 1); x++) bits[y * width + x] = value;
      }
    }
    if (seed % 2) for (let k = 0; k < 9; k++) bits[roll(bits.length)] ^= 1;
    return bits;
  });
}

/**
 * @param {[number, number]} size
 * @param {0 | 1} value
 */
function solid([height, width], value) {
  return new Uint8Array(height * width).fill(value);
}

/**
 * @param {Int32Array} outline
 * @returns {[number, number][][]}
 */
function loopsOf(outline) {
  /** @type {[number, number][][]} */
  const loops = [];
  const path = {
    moveTo: (/** @type {number} */ x, /** @type {number} */ y) => void loops.push([[x, y]]),
    lineTo: (/** @type {number} */ x, /** @type {number} */ y) => void loops[loops.length - 1].push([x, y]),
    closePath: () => {},
  };
  addToPath(path, outline, 1, 1);
  return loops;
}

/**
 * Fills by counting the vertical edges to the left of each pixel.
 * @param {Int32Array} outline
 * @param {[number, number]} size
 * @returns {Uint8Array}
 */
function fill(outline, [height, width]) {
  const bits = new Uint8Array(height * width);
  for (const loop of loopsOf(outline)) {
    loop.forEach(([x, y], i) => {
      const [nx, ny] = loop[(i + 1) % loop.length];
      if (x !== nx) return;
      for (let row = Math.min(y, ny); row < Math.max(y, ny); row++) {
        for (let at = x; at < width; at++) bits[row * width + at] ^= 1;
      }
    });
  }
  return bits;
}
