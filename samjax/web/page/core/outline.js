/**
 * The exact outline of a mask, along the edges between pixels, to be filled and stroked.
 *
 * Loops have the mask on their right: holes turn the other way, so that both fill rules
 * give the mask. All loops are in one array, which can be transferred from a worker.
 */

/**
 * Loops one after another: the count of corners, then x and y of each.
 * @typedef {Int32Array} Outline
 */

/**
 * @param {Uint8Array} bits
 * @param {[number, number]} size height and width
 * @returns {Outline} in pixels of the mask
 */
export function traceOutline(bits, size) {
  // Memory and time are proportional to the mask's box rather than to the image.
  const { cropped, corner: [left, top], cropSize } = cropToMask(bits, size);
  const { next, starts } = joinEdges(cropped, cropSize);
  const stride = cropSize[1] + 1;
  /** @type {number[]} */
  const out = [];
  for (const start of starts) {
    let edge = start;
    if (next[edge] < 0) continue;
    /** @type {number} */
    const head = out.push(0) - 1;
    let before = -1;
    do {
      const following = next[edge];
      next[edge] = -1;
      const direction = edge & 3;
      if (direction !== before) {
        const corner = edge >> 2;
        out.push(left + (corner % stride), top + Math.floor(corner / stride));
      }
      before = direction;
      edge = following;
    } while (edge !== start);
    // The starting point is a corner only if the loop turns there.
    if ((start & 3) === before) out.splice(head + 1, 2);
    out[head] = (out.length - head - 1) / 2;
  }
  return Int32Array.from(out);
}

/**
 * @param {Uint8Array} bits
 * @param {[number, number]} size
 * @returns {{cropped: Uint8Array, corner: [number, number], cropSize: [number, number]}}
 */
function cropToMask(bits, [height, width]) {
  let [left, top, right, bottom] = [width, -1, -1, -1];
  for (let y = 0; y < height; y++) {
    const row = bits.subarray(y * width, (y + 1) * width);
    const first = row.indexOf(1);
    if (first < 0) continue;
    if (top < 0) top = y;
    bottom = y;
    left = Math.min(left, first);
    right = Math.max(right, row.lastIndexOf(1));
  }
  if (top < 0) return { cropped: new Uint8Array(0), corner: [0, 0], cropSize: [0, 0] };
  const [columns, rows] = [right - left + 1, bottom - top + 1];
  const cropped = new Uint8Array(columns * rows);
  for (let y = 0; y < rows; y++) {
    const start = (top + y) * width + left;
    cropped.set(bits.subarray(start, start + columns), y * columns);
  }
  return { cropped, corner: [left, top], cropSize: [rows, columns] };
}

/**
 * Links the edges of a mask to loops. The index of an edge is 4 * its first corner + its
 * direction: right, down, left, up.
 * @param {Uint8Array} bits
 * @param {[number, number]} size
 */
function joinEdges(bits, [height, width]) {
  const stride = width + 1;
  const steps = [1, stride, -1, -stride];
  /** @type {number[]} */
  const starts = [];
  for (let y = 0; y < height; y++) {
    for (let x = 0, at = y * width; x < width; x++, at++) {
      if (!bits[at]) continue;
      const corner = y * stride + x;
      if (y === 0 || !bits[at - width]) starts.push(4 * corner);
      if (x === width - 1 || !bits[at + 1]) starts.push(4 * (corner + 1) + 1);
      if (y === height - 1 || !bits[at + width]) starts.push(4 * (corner + stride + 1) + 2);
      if (x === 0 || !bits[at - 1]) starts.push(4 * (corner + stride) + 3);
    }
  }
  const next = new Int32Array(4 * stride * (height + 1)).fill(-1);
  for (const edge of starts) next[edge] = -2;
  for (const edge of starts) {
    const end = (edge >> 2) + steps[edge & 3];
    // Right before straight before left: pixels that touch at a corner only are separate.
    for (const turn of [1, 0, 3]) {
      const candidate = 4 * end + (((edge & 3) + turn) & 3);
      if (next[candidate] !== -1) {
        next[edge] = candidate;
        break;
      }
    }
  }
  return { next, starts };
}

/**
 * @template {{moveTo(x: number, y: number): void, lineTo(x: number, y: number): void, closePath(): void}} P
 * @param {P} path
 * @param {Outline | Float32Array} outline
 * @param {number} scaleX image pixels per pixel of the mask
 * @param {number} scaleY
 * @returns {P} the path, in pixels of the image
 */
export function addToPath(path, outline, scaleX, scaleY) {
  for (let at = 0; at < outline.length; ) {
    const end = at + 1 + 2 * outline[at];
    for (let i = at + 1; i < end; i += 2) {
      const [x, y] = [outline[i] * scaleX, outline[i + 1] * scaleY];
      if (i === at + 1) path.moveTo(x, y);
      else path.lineTo(x, y);
    }
    path.closePath();
    at = end;
  }
  return path;
}
