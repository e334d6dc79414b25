/** The page's arithmetic on images and masks, against Pillow and samjax. */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";

import { fitFrame } from "../../../samjax/web/page/core/frame.js";
import { maskToPrompt } from "../../../samjax/web/page/core/mask_prompt.js";
import { pilResize } from "../../../samjax/web/page/core/pil_resize.js";
import { readSafetensors, widen } from "../../../samjax/web/page/core/safetensors.js";
import { stabilityScore, upsampleBits, upsampleLogits } from "../../../samjax/web/page/core/upsample.js";
import { bytesLike, encode, goldens } from "./goldens.js";

test("images are resized bit by bit as Pillow does", () => {
  for (const { size, target, sha256, first } of goldens.resize) {
    const pixels = bytesLike(size[0] * size[1] * 3);
    const resized = pilResize(pixels, size, 3, target);
    assert.deepEqual([...resized.subarray(0, first.length)], first, `${size} to ${target}`);
    assert.equal(createHash("sha256").update(resized).digest("hex"), sha256, `${size} to ${target}`);
  }
});

test("the alpha channel of a canvas does not change the resized colours", () => {
  const rgb = bytesLike(20 * 30 * 3);
  const rgba = new Uint8ClampedArray(20 * 30 * 4);
  for (let i = 0; i < 600; i++) rgba.set([rgb[3 * i], rgb[3 * i + 1], rgb[3 * i + 2], i % 256], 4 * i);
  for (const target of /** @type {[number, number][]} */ ([[13, 44], [20, 30]])) {
    assert.deepEqual(pilResize(rgba, [20, 30], 4, target), pilResize(rgb, [20, 30], 3, target));
  }
});

for (const golden of goldens.upsample) {
  const { size, model_size: modelSize } = golden;
  const side = modelSize / 4;
  const frame = fitFrame(size, modelSize);
  const logits = Float32Array.from(bytesLike(side * side), (value) => value / 8 - 16);

  test(`logits of ${size} from ${side} agree with samjax`, () => {
    assert.deepEqual(frame.resizedSize, golden.resized_size);
    const upsampled = upsampleLogits(logits, side, frame, size);
    golden.logits.forEach((/** @type {number} */ expected, /** @type {number} */ i) => {
      assert.ok(Math.abs(upsampled[i * golden.every] - expected) < 3e-5);
    });
  });

  test(`the mask of ${size} from ${side} is samjax's, in its run lengths`, () => {
    const bits = upsampleBits(logits, side, frame, size);
    const area = bits.reduce((a, b) => a + b, 0);
    assert.ok(Math.abs(area - golden.area) <= golden.undecided);
    if (!golden.undecided) assert.deepEqual(encode(bits, size), golden.segmentation);
  });

  test(`the mask of ${size} is the mask prompt that samjax makes of it`, () => {
    const bits = upsampleBits(logits, side, frame, size);
    const prompt = maskToPrompt(bits, frame, side);
    golden.prompt.forEach((/** @type {number} */ expected, /** @type {number} */ i) => {
      assert.ok(Math.abs(prompt[7 * i] - expected) < 1e-3);
    });
  });
}

test("bits are where logits are above zero, at any size", () => {
  const frame = fitFrame([90, 140], 128);
  const logits = Float32Array.from(bytesLike(32 * 32), (value) => value / 16 - 8);
  for (const size of /** @type {[number, number][]} */ ([[90, 140], [45, 70], [200, 311]])) {
    const expected = Uint8Array.from(upsampleLogits(logits, 32, frame, size), (v) => (v > 0 ? 1 : 0));
    assert.deepEqual(upsampleBits(logits, 32, frame, size), expected);
  }
});

test("stability is the share of pixels that a higher threshold leaves", () => {
  const frame = fitFrame([64, 64], 64);
  const step = new Float32Array(16 * 16).map((_, i) => (i % 16 < 8 ? 9 : -9));
  assert.equal(stabilityScore(new Float32Array(256).fill(5), 16, frame, [64, 64]), 1);
  assert.equal(stabilityScore(new Float32Array(256).fill(-5), 16, frame, [64, 64]), 0);
  const score = stabilityScore(step, 16, frame, [64, 64]);
  assert.ok(score > 0.9 && score <= 1);
  const logits = upsampleLogits(step, 16, frame, [64, 64]);
  assert.equal(score, logits.filter((v) => v > 1).length / logits.filter((v) => v > -1).length);
});

test("safetensors of float32 and float16 are read, with their metadata", () => {
  const values = Float32Array.from([0, 1, -2.5, 1 / 1024, 65504, -(2 ** -24)]);
  const halves = Uint16Array.from([0, 0x3c00, 0xc100, 0x1400, 0x7bff, 0x8001]);
  for (const [dtype, data] of /** @type {const} */ ([["F32", values], ["F16", halves]])) {
    const { tensors, metadata } = readSafetensors(safetensors(dtype, new Uint8Array(data.buffer), [1, 2, 3]));
    assert.deepEqual(tensors.features.shape, [1, 2, 3]);
    assert.deepEqual(tensors.features.data, values);
    assert.equal(metadata.samjax, "{}");
  }
  assert.deepEqual([...widen(Uint16Array.from([0x7c00, 0xfc00]))], [Infinity, -Infinity]);
  assert.ok(Number.isNaN(widen(Uint16Array.from([0x7e00]))[0]));
});

test("a file that is not safetensors is refused", () => {
  const whole = safetensors("F32", new Uint8Array(24), [1, 2, 3]);
  assert.throws(() => readSafetensors(new ArrayBuffer(3)), /not a safetensors/);
  assert.throws(() => readSafetensors(whole.slice(0, 40)), /not a safetensors/);
  assert.throws(() => readSafetensors(whole.slice(0, whole.byteLength - 1)), /damaged/);
  assert.throws(() => readSafetensors(safetensors("F32", new Uint8Array(24), [7])), /damaged/);
  assert.throws(() => readSafetensors(safetensors("I64", new Uint8Array(24), [3])), /I64/);
});

/**
 * @param {string} dtype
 * @param {Uint8Array} data
 * @param {number[]} shape
 * @returns {ArrayBuffer}
 */
function safetensors(dtype, data, shape) {
  const header = JSON.stringify({
    __metadata__: { samjax: "{}" },
    features: { dtype, shape, data_offsets: [0, data.length] },
  });
  const out = new Uint8Array(8 + header.length + data.length);
  new DataView(out.buffer).setBigUint64(0, BigInt(header.length), true);
  out.set(new TextEncoder().encode(header), 8);
  out.set(data, 8 + header.length);
  return out.buffer;
}
