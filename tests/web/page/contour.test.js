/** Outlines of low-res logits, against the upsampled masks. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { traceContour } from "../../../samjax/web/page/core/contour.js";
import { upsampleBits } from "../../../samjax/web/page/core/upsample.js";
import { makeUuid } from "../../../samjax/web/page/core/uuid.js";

const SIDE = 64;
/** @type {import("../../../samjax/web/page/core/frame.js").Frame} */
const FRAME = { originalSize: [200, 300], resizedSize: [171, 256], modelSize: 256 };

/** @param {(x: number, y: number) => number} value */
function logitsOf(value) {
  return Float32Array.from({ length: SIDE * SIDE }, (_, i) => value((i % SIDE) + 0.5, Math.floor(i / SIDE) + 0.5));
}

/**
 * Whether a point is inside, by the even-odd rule.
 * @param {Float32Array} outline
 * @param {number} x
 * @param {number} y
 */
function holds(outline, x, y) {
  let inside = false;
  for (let at = 0; at < outline.length; ) {
    const end = at + 1 + 2 * outline[at];
    for (let i = at + 1; i < end; i += 2) {
      const j = i + 2 < end ? i + 2 : at + 1;
      const [x0, y0, x1, y1] = [outline[i], outline[i + 1], outline[j], outline[j + 1]];
      if (y0 > y !== y1 > y && x < x0 + ((y - y0) / (y1 - y0)) * (x1 - x0)) inside = !inside;
    }
    at = end;
  }
  return inside;
}

const MASKS = {
  "a disc": (/** @type {number} */ x, /** @type {number} */ y) => 14 - Math.hypot(x - 30, y - 21),
  "a ring": (/** @type {number} */ x, /** @type {number} */ y) => 4 - Math.abs(12 - Math.hypot(x - 30, y - 21)),
  "a mask across the image's edge": (/** @type {number} */ x, /** @type {number} */ y) => 20 - Math.hypot(x - 60, y - 40),
  "waves that meet at corners": (/** @type {number} */ x, /** @type {number} */ y) => Math.sin(x / 3) * Math.cos(y / 3) - 0.1,
  everything: () => 1,
};

for (const [name, value] of Object.entries(MASKS)) {
  test(`the outline of ${name} encloses the pixels of the upsampled mask`, () => {
    const logits = logitsOf(value);
    const [height, width] = FRAME.originalSize;
    const bits = upsampleBits(logits, SIDE, FRAME, FRAME.originalSize);
    const { outline, size, area } = traceContour(logits, SIDE, FRAME);
    let different = 0;
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const inside = holds(outline, ((x + 0.5) * size[1]) / width, ((y + 0.5) * size[0]) / height);
        different += Number(inside) ^ bits[y * width + x];
      }
    }
    assert.ok(different <= 0.01 * height * width, `${different} pixels differ`);
    const pixels = bits.reduce((a, b) => a + b, 0);
    assert.ok(Math.abs(area - pixels) <= 0.02 * pixels, `${area} for ${pixels}`);
  });
}

test("an empty mask has no outline", () => {
  const { outline, area } = traceContour(logitsOf(() => -1), SIDE, FRAME);
  assert.deepEqual([outline.length, area], [0, 0]);
});

test("noise is drawn with few lines, whatever its size", () => {
  let seed = 1;
  const random = () => ((seed = (seed * 48271) % 2147483647) / 2147483647) - 0.5;
  const side = 256;
  const logits = Float32Array.from({ length: side * side }, random);
  const frame = { ...FRAME, resizedSize: /** @type {[number, number]} */ ([1024, 1024]), modelSize: 1024 };
  const { outline } = traceContour(logits, side, frame);
  assert.ok(outline.length > 100 && outline.length < 20_000, `${outline.length} numbers`);
});

test("a UUID is made where the page is not secure, too", () => {
  const real = crypto.randomUUID;
  Object.defineProperty(crypto, "randomUUID", { value: undefined, configurable: true });
  try {
    const made = new Set(Array.from({ length: 50 }, makeUuid));
    assert.equal(made.size, 50);
    for (const uuid of made) assert.match(uuid, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  } finally {
    Object.defineProperty(crypto, "randomUUID", { value: real, configurable: true });
  }
});
