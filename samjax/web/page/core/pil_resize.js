/**
 * Pillow's bilinear resize of 8-bit RGB, bit for bit.
 *
 * The model was trained on images that Pillow resized, and no canvas gives these values:
 * the filter is widened for downscaling, weights have 22 bits, and each of the two passes,
 * horizontal and vertical, rounds to 8 bits.
 */

const BITS = 22;

/**
 * @param {Uint8Array | Uint8ClampedArray} pixels `channels` per pixel, of which the first 3 are used
 * @param {[number, number]} size height and width
 * @param {number} channels 3 or 4
 * @param {[number, number]} target height and width
 * @returns {Uint8Array} RGB
 */
export function pilResize(pixels, [height, width], channels, [targetHeight, targetWidth]) {
  if (isTall([height, width], [targetHeight, targetWidth])) {
    const low = down(across(pixels, height, width, channels, width), height, width, targetHeight);
    return across(low, targetHeight, width, 3, targetWidth);
  }
  const wide = across(pixels, height, width, channels, targetWidth);
  return down(wide, height, targetWidth, targetHeight);
}

/**
 * Whether Pillow runs the vertical pass first (13 and newer), which rounds differently.
 * @param {[number, number]} size
 * @param {[number, number]} target
 */
function isTall([height, width], [targetHeight, targetWidth]) {
  return targetHeight < height && height - targetHeight > 2 * (width - targetWidth);
}

/**
 * @param {Uint8Array | Uint8ClampedArray} from
 * @param {number} height
 * @param {number} width
 * @param {number} channels
 * @param {number} targetWidth
 */
function across(from, height, width, channels, targetWidth) {
  const out = new Uint8Array(height * targetWidth * 3);
  if (width === targetWidth) {
    for (let i = 0, at = 0; i < out.length; i += 3, at += channels) {
      out[i] = from[at];
      out[i + 1] = from[at + 1];
      out[i + 2] = from[at + 2];
    }
    return out;
  }
  const { starts, lengths, weights, most } = filterOf(width, targetWidth);
  for (let y = 0, to = 0; y < height; y++) {
    for (let x = 0; x < targetWidth; x++, to += 3) {
      let [red, green, blue] = [1 << (BITS - 1), 1 << (BITS - 1), 1 << (BITS - 1)];
      let at = (y * width + starts[x]) * channels;
      for (let k = x * most; k < x * most + lengths[x]; k++, at += channels) {
        red += from[at] * weights[k];
        green += from[at + 1] * weights[k];
        blue += from[at + 2] * weights[k];
      }
      out[to] = clip(red);
      out[to + 1] = clip(green);
      out[to + 2] = clip(blue);
    }
  }
  return out;
}

/**
 * @param {Uint8Array} from
 * @param {number} height
 * @param {number} width
 * @param {number} targetHeight
 */
function down(from, height, width, targetHeight) {
  if (height === targetHeight) return from;
  const row = width * 3;
  const out = new Uint8Array(targetHeight * row);
  const { starts, lengths, weights, most } = filterOf(height, targetHeight);
  const sums = new Int32Array(row);
  for (let y = 0; y < targetHeight; y++) {
    sums.fill(1 << (BITS - 1));
    for (let k = 0; k < lengths[y]; k++) {
      const weight = weights[y * most + k];
      const start = (starts[y] + k) * row;
      for (let i = 0; i < row; i++) sums[i] += from[start + i] * weight;
    }
    for (let i = 0; i < row; i++) out[y * row + i] = clip(sums[i]);
  }
  return out;
}

/**
 * @param {number} sum
 * @returns {number}
 */
function clip(sum) {
  const value = sum >> BITS;
  return value < 0 ? 0 : value > 255 ? 255 : value;
}

/**
 * The triangle filter of each target pixel, in fixed point.
 * @param {number} source
 * @param {number} target
 */
function filterOf(source, target) {
  const scale = source / target;
  const support = Math.max(scale, 1);
  const most = Math.ceil(support) * 2 + 1;
  const starts = new Int32Array(target);
  const lengths = new Int32Array(target);
  const weights = new Int32Array(target * most);
  for (let i = 0; i < target; i++) {
    const centre = (i + 0.5) * scale;
    // C's cast to int: towards zero, after one half is added.
    const start = Math.max(0, Math.trunc(centre - support + 0.5));
    const end = Math.min(source, Math.trunc(centre + support + 0.5));
    const own = [];
    let total = 0;
    for (let k = start; k < end; k++) {
      // Multiplied by the reciprocal, as in Pillow: a division differs in the last bit.
      const weight = Math.max(0, 1 - Math.abs((k - centre + 0.5) * (1 / support)));
      own.push(weight);
      total += weight;
    }
    starts[i] = start;
    lengths[i] = own.length;
    own.forEach((weight, k) => {
      weights[i * most + k] = Math.trunc(0.5 + (total ? weight / total : weight) * (1 << BITS));
    });
  }
  return { starts, lengths, weights, most };
}
