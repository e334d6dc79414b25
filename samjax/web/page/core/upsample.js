/**
 * Upsamples low-res mask logits by the reference's two bilinear steps.
 *
 * The steps are low-res to the model's input, whose padding is cropped, and from there to
 * the target. Both are separable and linear, so that they compose into at most four weights
 * per row and column of the target, without the image in between (as in
 * `samjax/geometry/resampling.py`). The target is the original image for masks that are
 * stored, and smaller for stability scores; previews are traced by `contour.js`.
 */

/** @typedef {import("./frame.js").Frame} Frame */

/**
 * The sources of each target pixel along one axis, and their weights.
 * @typedef {object} Taps
 * @property {number} count reads per target pixel
 * @property {Int32Array} sources `count` per target pixel
 * @property {Float64Array} weights `count` per target pixel
 */

/** @type {Map<string, Taps>} */
const tapsByShape = new Map();

/**
 * @param {Float32Array} logits a mask of `side` x `side`, row by row
 * @param {number} side
 * @param {Frame} frame
 * @param {[number, number]} size height and width of the target
 * @returns {Float32Array} logits, row by row
 */
export function upsampleLogits(logits, side, frame, size) {
  const out = new Float32Array(size[0] * size[1]);
  eachRow(logits, side, frame, size, (row, values) => out.set(values, row * size[1]));
  return out;
}

/**
 * Upsamples and thresholds, row by row: the upsampled logits are never in memory.
 * 1 where a logit is above `threshold`.
 * @param {Float32Array} logits
 * @param {number} side
 * @param {Frame} frame
 * @param {[number, number]} size
 * @param {number} [threshold]
 * @returns {Uint8Array}
 */
export function upsampleBits(logits, side, frame, size, threshold = 0) {
  const width = size[1];
  const out = new Uint8Array(size[0] * width);
  eachRow(logits, side, frame, size, (row, values) => {
    const start = row * width;
    for (let x = 0; x < width; x++) {
      if (values[x] > threshold) out[start + x] = 1;
    }
  }, threshold);
  return out;
}

/**
 * The stability score: pixels above the higher of two thresholds over pixels above the
 * lower one, at the given size.
 * @param {Float32Array} logits
 * @param {number} side
 * @param {Frame} frame
 * @param {[number, number]} size
 * @param {number} [offset]
 * @returns {number}
 */
export function stabilityScore(logits, side, frame, size, offset = 1) {
  let higher = 0;
  let lower = 0;
  eachRow(logits, side, frame, size, (_, values) => {
    for (let x = 0; x < values.length; x++) {
      if (values[x] > -offset) {
        lower++;
        if (values[x] > offset) higher++;
      }
    }
  }, -offset);
  return lower ? higher / lower : 0;
}

/**
 * @param {Float32Array} logits
 * @param {number} side
 * @param {Frame} frame
 * @param {[number, number]} size
 * @param {(row: number, values: Float32Array) => void} visit is not called for rows
 *   without a value above `least`
 * @param {number} [least]
 */
function eachRow(logits, side, frame, [height, width], visit, least = -Infinity) {
  const { modelSize, resizedSize } = frame;
  const across = twoSteps(side, modelSize, resizedSize[1], width);
  const down = twoSteps(side, modelSize, resizedSize[0], height);
  const wide = new Float32Array(side * width);
  const highest = new Float32Array(side).fill(-Infinity);
  const lastRow = down.sources.reduce((a, b) => Math.max(a, b), 0);
  for (let y = 0; y <= lastRow; y++) {
    highest[y] = stretchRow(logits, y * side, across, wide, y * width, width);
  }
  const values = new Float32Array(width);
  for (let y = 0; y < height; y++) {
    let top = -Infinity;
    for (let tap = y * down.count; tap < (y + 1) * down.count; tap++) {
      top = Math.max(top, highest[down.sources[tap]]);
    }
    if (!(top > least)) continue;
    mixRows(wide, width, down, y, values);
    visit(y, values);
  }
}

/**
 * @param {Float32Array} from
 * @param {number} start
 * @param {Taps} taps
 * @param {Float32Array} to
 * @param {number} offset in `to`
 * @param {number} width
 * @returns {number} the highest value
 */
function stretchRow(from, start, { count, sources, weights }, to, offset, width) {
  let highest = -Infinity;
  for (let x = 0, tap = 0; x < width; x++) {
    let sum = 0;
    for (let k = 0; k < count; k++, tap++) sum += from[start + sources[tap]] * weights[tap];
    to[offset + x] = sum;
    if (sum > highest) highest = sum;
  }
  return highest;
}

/**
 * @param {Float32Array} wide
 * @param {number} width
 * @param {Taps} taps
 * @param {number} y
 * @param {Float32Array} values
 */
function mixRows(wide, width, { count, sources, weights }, y, values) {
  const first = y * count;
  if (count === 3) {
    // The usual case, unrolled: most of the time is spent here.
    const [a, b, c] = [0, 1, 2].map((k) => sources[first + k] * width);
    const [u, v, w] = [0, 1, 2].map((k) => weights[first + k]);
    for (let x = 0; x < width; x++) values[x] = u * wide[a + x] + v * wide[b + x] + w * wide[c + x];
    return;
  }
  values.fill(0);
  for (let tap = first; tap < first + count; tap++) {
    const start = sources[tap] * width;
    const weight = weights[tap];
    if (weight === 0) continue;
    for (let x = 0; x < width; x++) values[x] += weight * wide[start + x];
  }
}

/**
 * @param {number} low
 * @param {number} model
 * @param {number} resized
 * @param {number} target
 * @returns {Taps}
 */
export function twoSteps(low, model, resized, target) {
  const key = [low, model, resized, target].join();
  let taps = tapsByShape.get(key);
  if (!taps) {
    taps = compose(bilinearTaps(low, model), bilinearTaps(resized, target), target);
    if (tapsByShape.size > 64) tapsByShape.clear();
    tapsByShape.set(key, taps);
  }
  return taps;
}

/**
 * @param {Taps} inner
 * @param {Taps} outer
 * @param {number} target
 * @returns {Taps}
 */
function compose(inner, outer, target) {
  /** @type {Map<number, number>[]} */
  const rows = [];
  for (let i = 0; i < target; i++) {
    const row = new Map();
    for (let a = 2 * i; a < 2 * i + 2; a++) {
      for (let b = 2 * outer.sources[a]; b < 2 * outer.sources[a] + 2; b++) {
        const weight = outer.weights[a] * inner.weights[b];
        if (weight !== 0) row.set(inner.sources[b], (row.get(inner.sources[b]) ?? 0) + weight);
      }
    }
    rows.push(row);
  }
  const count = Math.max(...new Set(rows.map((row) => row.size)));
  const taps = {
    count,
    sources: new Int32Array(target * count),
    weights: new Float64Array(target * count),
  };
  rows.forEach((row, i) => {
    const entries = [...row].sort((a, b) => a[0] - b[0]);
    for (let k = 0; k < count; k++) {
      // Rows with fewer taps are padded with a weight of zero.
      const [source, weight] = entries[k] ?? [entries[0][0], 0];
      taps.sources[i * count + k] = source;
      taps.weights[i * count + k] = weight;
    }
  });
  return taps;
}

/**
 * PyTorch's bilinear `interpolate` along one axis, align_corners=False.
 * @param {number} source
 * @param {number} target
 * @returns {Taps} two per target pixel
 */
function bilinearTaps(source, target) {
  const sources = new Int32Array(2 * target);
  const weights = new Float64Array(2 * target);
  // Rounded to float32 where PyTorch rounds: exact positions give other logits.
  const step = Math.fround(Math.fround(source) / Math.fround(target));
  for (let i = 0; i < target; i++) {
    const position = Math.max(0, Math.fround(step * (i + 0.5) - 0.5));
    const near = Math.min(Math.trunc(position), source - 1);
    sources[2 * i] = near;
    sources[2 * i + 1] = Math.min(near + 1, source - 1);
    weights[2 * i] = 1 - (position - near);
    weights[2 * i + 1] = position - near;
  }
  return { count: 2, sources, weights };
}
