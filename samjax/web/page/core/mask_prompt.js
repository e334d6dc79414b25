/**
 * Converts a mask to a mask input: logits in the low-res frame, padding included.
 *
 * As in `samjax/geometry/resampling.py`, a low-res logit is linear in the share of its pixel
 * that the mask covers, from -LOGIT for none to LOGIT for all; padding is not covered.
 */

/** @typedef {import("./frame.js").Frame} Frame */

const LOGIT = 10;

/**
 * @param {Uint8Array} bits of the image
 * @param {Frame} frame
 * @param {number} side of the low-res masks
 * @returns {Float32Array}
 */
export function maskToPrompt(bits, { originalSize, resizedSize, modelSize }, side) {
  const [height, width] = originalSize;
  const down = coverage(height, resizedSize[0], modelSize, side);
  const across = coverage(width, resizedSize[1], modelSize, side);
  const out = new Float32Array(side * side);
  const columns = new Float64Array(width);
  for (let i = 0; i < side; i++) {
    columns.fill(0);
    for (const [y, share] of down[i]) {
      for (let x = 0, at = y * width; x < width; x++, at++) if (bits[at]) columns[x] += share;
    }
    for (let j = 0; j < side; j++) {
      let covered = 0;
      for (const [x, share] of across[j]) covered += share * columns[x];
      out[i * side + j] = LOGIT * (2 * covered - 1);
    }
  }
  return out;
}

/**
 * @param {number} original
 * @param {number} resized
 * @param {number} model
 * @param {number} side
 * @returns {[number, number][][]} for each low-res pixel the image's pixels in it, and the
 *   share that each covers
 */
function coverage(original, resized, model, side) {
  const perCell = (model / side) * (original / resized);
  return Array.from({ length: side }, (_, i) => {
    const [start, end] = [i * perCell, (i + 1) * perCell];
    /** @type {[number, number][]} */
    const shares = [];
    for (let k = Math.floor(start); k < Math.min(original, Math.ceil(end)); k++) {
      const overlap = Math.min(end, k + 1) - Math.max(start, k);
      if (overlap > 0) shares.push([k, overlap / perCell]);
    }
    return shares;
  });
}
