/**
 * The zero crossing of low-res logits, by marching squares: the outline of a preview.
 *
 * Between the centres of low-res pixels logits are interpolated linearly, as upsampling
 * does, so that no upsampled mask is needed: tracing takes a millisecond, and the outline
 * is smooth at any zoom. Outlines of accepted masks are exact (`outline.js`).
 */

/** @typedef {import("./frame.js").Frame} Frame */

// More lines than this are noise, and slow to draw: logits are then subsampled.
const MAX_LINES = 4000;

/**
 * @param {Float32Array} logits a mask of `side` x `side`, row by row
 * @param {number} side
 * @param {Frame} frame
 * @returns {{outline: Float32Array, size: [number, number], area: number}} loops as in
 *   `outline.js`, in low-res pixels; the size of the image in low-res pixels; and the area
 *   within the loops, in pixels of the image
 */
export function traceContour(logits, side, { originalSize, resizedSize, modelSize }) {
  const perPixel = modelSize / side;
  /** @type {[number, number]} */
  const size = [resizedSize[0] / perPixel, resizedSize[1] / perPixel];
  for (let step = 1; ; step *= 2) {
    const field = sample(logits, side, size, step);
    const next = joinCrossings(field);
    if (next === null && step < side) continue;
    const outline = follow(field, next ?? new Int32Array(0));
    const area = (areaOfLoops(outline) * originalSize[0] * originalSize[1]) / (size[0] * size[1]);
    return { outline, size, area: Math.round(area) };
  }
}

/**
 * Logits sampled at the coordinates `xs` and `ys`, with a border of negative values at the
 * edges of the image.
 * @typedef {object} Field
 * @property {Float32Array} values row by row
 * @property {Float32Array} xs
 * @property {Float32Array} ys
 */

/**
 * @param {Float32Array} logits
 * @param {number} side
 * @param {[number, number]} size
 * @param {number} step
 * @returns {Field}
 */
function sample(logits, side, [height, width], step) {
  const [xs, columns] = samplePositions(width, side, step);
  const [ys, rows] = samplePositions(height, side, step);
  const values = new Float32Array(xs.length * ys.length).fill(-1);
  for (let y = 1; y < ys.length - 1; y++) {
    for (let x = 1; x < xs.length - 1; x++) {
      const value = logits[rows[y] * side + columns[x]];
      // Zero counts as outside: every crossing then lies between two signs.
      values[y * xs.length + x] = value > 0 ? value : Math.min(value, -1e-12);
    }
  }
  return { values, xs, ys };
}

/**
 * @param {number} length of the image, in low-res pixels
 * @param {number} side
 * @param {number} step
 * @returns {[Float32Array, Int32Array]} coordinates, and the pixels that are read there
 */
function samplePositions(length, side, step) {
  const positions = [0, 0];
  const pixels = [0, 0];
  const last = Math.min(side, Math.ceil(length)) - 1;
  for (let pixel = 0; pixel <= last && pixel + 0.5 < length; pixel += step) {
    positions.push(pixel + 0.5);
    pixels.push(pixel);
  }
  positions.push(length, length);
  pixels.push(last, last);
  return [Float32Array.from(positions), Int32Array.from(pixels)];
}

/**
 * Marching squares: a line through each cell, from the crossing on one of its sides to that
 * on another, with the mask on the left. The index of a side is 2 * the index of the value
 * that it starts at, plus one if it is vertical.
 * @param {Field} field
 * @returns {Int32Array | null} for every crossed side the next one, -1 for others;
 *   null if there are too many lines
 */
function joinCrossings({ values, xs }) {
  const stride = xs.length;
  const next = new Int32Array(2 * values.length).fill(-1);
  let lines = 0;
  for (let at = 0; at + stride + 1 < values.length; at++) {
    if ((at + 1) % stride === 0) continue;
    const [a, b, c, d] = [values[at], values[at + 1], values[at + stride + 1], values[at + stride]];
    const kind = Number(a > 0) | (Number(b > 0) << 1) | (Number(c > 0) << 2) | (Number(d > 0) << 3);
    if (kind === 0 || kind === 15) continue;
    const [top, right, bottom, left] = [2 * at, 2 * at + 3, 2 * (at + stride), 2 * at + 1];
    switch (kind) {
      case 1: next[top] = left; break;
      case 2: next[right] = top; break;
      case 3: next[right] = left; break;
      case 4: next[bottom] = right; break;
      case 6: next[bottom] = top; break;
      case 7: next[bottom] = left; break;
      case 8: next[left] = bottom; break;
      case 9: next[top] = bottom; break;
      case 11: next[right] = bottom; break;
      case 12: next[left] = right; break;
      case 13: next[top] = right; break;
      case 14: next[left] = top; break;
      default: {
        // A saddle: the mean in the middle decides whether the two corners are connected.
        const meet = a + b + c + d > 0;
        if (kind === 5) {
          next[top] = meet ? right : left;
          next[bottom] = meet ? left : right;
        } else {
          next[right] = meet ? bottom : top;
          next[left] = meet ? top : bottom;
        }
        lines++;
      }
    }
    if (++lines > MAX_LINES) return null;
  }
  return next;
}

/**
 * @param {Field} field
 * @param {Int32Array} next overwritten
 * @returns {Float32Array} loops
 */
function follow({ values, xs, ys }, next) {
  const stride = xs.length;
  /** @type {number[]} */
  const out = [];
  for (let start = 0; start < next.length; start++) {
    if (next[start] < 0) continue;
    const head = out.push(0) - 1;
    for (let side = start; next[side] >= 0; ) {
      const from = side >> 1;
      const to = from + (side & 1 ? stride : 1);
      const share = values[from] / (values[from] - values[to]);
      const [x, y] = [from % stride, Math.floor(from / stride)];
      if (side & 1) out.push(xs[x], ys[y] + share * (ys[y + 1] - ys[y]));
      else out.push(xs[x] + share * (xs[x + 1] - xs[x]), ys[y]);
      const following = next[side];
      next[side] = -1;
      side = following;
    }
    out[head] = (out.length - head - 1) / 2;
  }
  return Float32Array.from(out);
}

/** @param {Float32Array} outline */
function areaOfLoops(outline) {
  let twice = 0;
  for (let at = 0; at < outline.length; ) {
    const end = at + 1 + 2 * outline[at];
    for (let i = at + 1; i < end; i += 2) {
      const j = i + 2 < end ? i + 2 : at + 1;
      twice += outline[i] * outline[j + 1] - outline[j] * outline[i + 1];
    }
    at = end;
  }
  return Math.abs(twice) / 2;
}
