/** The demo's exports, and the masks that the worker makes. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { fullMask, paintedMask, previewMasks, tracedMask } from "../../../samjax/web/page/core/postprocessing.js";
import { generateMasks } from "../../../samjax/web/page/model/everything.js";
import { fitFrame } from "../../../samjax/web/page/core/frame.js";
import { toCoco, toLabelPixels, toSa1b } from "../../../samjax/web/page/core/records.js";
import { decode } from "../../../samjax/web/page/core/run_lengths.js";
import { encode, goldens } from "./goldens.js";

/** @typedef {import("../../../samjax/web/page/core/prompts.js").Prompt} Prompt */

const SIZE = /** @type {[number, number]} */ ([6, 8]);
const IMAGE = { id: "x", name: "photo.jpg", width: 8, height: 6, annotations: 0, embedded: true, problem: null };

test("SA-1B's boxes end at the last pixel, COCO's after it", () => {
  const masks = [made("cat", [[1, 2], [2, 2], [2, 4]]), made("", [[0, 0]])];
  const sa1b = toSa1b(IMAGE, masks).annotations;
  assert.deepEqual(sa1b.map(({ bbox, area, id }) => [bbox, area, id]), [[[1, 2, 1, 2], 3, 1], [[0, 0, 0, 0], 1, 2]]);
  const coco = toCoco(IMAGE, masks);
  assert.deepEqual(coco.annotations.map(({ bbox, category_id }) => [bbox, category_id]), [[[1, 2, 2, 3], 1], [[0, 0, 1, 1], 2]]);
  assert.deepEqual(coco.categories.map(({ name }) => name), ["cat", "object"]);
});

test("SA-1B's record is the one that the server exports", () => {
  const { annotations, record } = goldens.record;
  const { width, height, file_name: name } = record.image;
  assert.deepEqual(toSa1b({ ...IMAGE, name, width, height }, annotations), record);
});

test("a label map has a grey value per mask, the later one on top", () => {
  const pixels = toLabelPixels(IMAGE, [made("", [[0, 0], [1, 0]]), made("", [[1, 0]])]);
  assert.deepEqual([...pixels.subarray(0, 12)], [1, 1, 1, 255, 2, 2, 2, 255, 0, 0, 0, 255]);
});

test("a stroke on nothing is a mask, and an eraser empties it", () => {
  const stroke = { points: [/** @type {[number, number]} */ ([4, 3])], radius: 2, erase: false };
  const drawn = paintedMask(null, SIZE, stroke);
  assert.ok(drawn.area > 4 && drawn.shape.outline.length > 0);
  assert.deepEqual(tracedMask(drawn.segmentation), drawn);
  assert.equal(paintedMask(drawn.segmentation, SIZE, { ...stroke, erase: true }).area, 0);
});

test("a large mask is outlined at a lower resolution, and stored at its own", () => {
  const size = /** @type {[number, number]} */ ([30, 5000]);
  const { shape, area } = tracedMask(encode(new Uint8Array(150_000).fill(1), size));
  assert.equal(area, 150_000);
  assert.deepEqual(shape.size, [12, 2048]);
  assert.deepEqual([...shape.outline].slice(0, 1), [4]);
});

test("the masks of a point are named by their size, and the stored mask is the one on show", () => {
  const frame = fitFrame([40, 60], 64);
  const logits = discs([0, 3, 7, 5], [0.1, 0.2, 0.9, 0.4]);
  const shown = previewMasks(point([30, 20]), frame, logits, false);
  assert.deepEqual(shown.map(({ index, level }) => [index, level]), [[2, "whole"], [3, "part"], [1, "subpart"]]);
  const full = fullMask(frame, logits, 2);
  assert.ok(Math.abs(full.area - shown[0].area) < 0.03 * full.area);
  assert.equal(previewMasks(point([30, 20]), frame, logits, true).length, 1);
});

test("everything mode keeps masks above the thresholds, without duplicates, and can be cancelled", async () => {
  const frame = fitFrame([40, 60], 64);
  const predict = async () => discs([0, 3, 7, 7], [0.99, 0.5, 0.9, 0.95]);
  const options = { points_per_side: 3, pred_iou_thresh: 0.6, stability_score_thresh: 0.5 };
  const masks = await generateMasks(predict, frame, options, async () => true);
  assert.deepEqual(masks?.map(({ score }) => Math.fround(score)), [Math.fround(0.95)]);
  assert.ok(masks[0].area > 0 && decode(masks[0].segmentation).length === 2400);
  const none = await generateMasks(predict, frame, { ...options, stability_score_thresh: 1.1 }, async () => true);
  assert.deepEqual(none, []);
  assert.equal(await generateMasks(predict, frame, options, async (done) => done < 2), null);
});

/**
 * @param {string} label
 * @param {[number, number][]} pixels x, y
 * @returns {import("../../../samjax/web/page/io/backend.js").Annotation}
 */
function made(label, pixels) {
  const bits = new Uint8Array(48);
  for (const [x, y] of pixels) bits[y * 8 + x] = 1;
  const prompts = { points: [], labels: [], box: null, mask: false, text: null };
  return {
    uuid: "u", id: "a", image_id: "x", revision: 1, area: pixels.length, segmentation: encode(bits, SIZE), label, prompts,
    score: 0.5, stability_score: null, source: "click", edited: false, level: null, seconds: 0, author: "",
  };
}

/**
 * Masks of discs about the middle of the image.
 * @param {number[]} radii in low-res pixels; 0 for none
 * @param {number[]} scores
 */
function discs(radii, scores) {
  const side = 16;
  const masks = new Float32Array(radii.length * side * side);
  radii.forEach((radius, m) => {
    for (let i = 0; i < side * side; i++) {
      const distance = Math.hypot((i % side) + 0.5 - 7.5, Math.floor(i / side) + 0.5 - 5.3);
      masks[m * side * side + i] = radius ? 6 * (radius - distance) : -9;
    }
  });
  return { masks, scores: Float32Array.from(scores), side };
}

/**
 * @param {[number, number]} at
 * @returns {Prompt}
 */
function point(at) {
  return { points: [at], labels: [1], box: null, mask: null, text: null };
}
