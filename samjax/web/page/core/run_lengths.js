/**
 * COCO's run-length encoding of masks, byte for byte as pycocotools writes it.
 *
 * Runs alternate between zeros and ones, zeros first, in column-major order. Masks in
 * memory have one byte per pixel in row-major order.
 */

/**
 * @typedef {object} Segmentation
 * @property {[number, number]} size height and width
 * @property {string} counts COCO's compressed text
 */

/**
 * @param {number[]} counts
 * @param {[number, number]} size
 * @returns {Segmentation}
 */
export function toSegmentation(counts, [height, width]) {
  return { size: [height, width], counts: countsToText(counts) };
}

/**
 * @param {Segmentation} segmentation
 * @returns {Uint8Array}
 */
export function decode({ size, counts }) {
  return countsToMask(textToCounts(counts), size);
}

/**
 * @param {Uint8Array} bits
 * @param {[number, number]} size
 * @returns {number[]}
 */
export function maskToCounts(bits, [height, width]) {
  // Memory is read row by row, for the cache, while runs follow columns: a run starts at
  // each pixel that differs from the one above it, or from the end of the previous column.
  /** @type {number[]} */
  const starts = [];
  const band = 16;
  for (let left = 0; left < width; left += band) {
    const right = Math.min(width, left + band);
    /** @type {number[][]} */
    const columns = Array.from({ length: right - left }, () => []);
    for (let x = left; x < right; x++) {
      const before = x === 0 ? 0 : bits[(height - 1) * width + x - 1];
      if (bits[x] !== before) columns[x - left].push(x * height);
    }
    for (let y = 1; y < height; y++) {
      for (let x = left, at = y * width + left; x < right; x++, at++) {
        if (bits[at] !== bits[at - width]) columns[x - left].push(x * height + y);
      }
    }
    for (const column of columns) for (const start of column) starts.push(start);
  }
  const counts = [];
  let previous = 0;
  for (const start of starts) {
    counts.push(start - previous);
    previous = start;
  }
  counts.push(height * width - previous);
  return counts;
}

/**
 * @param {number[]} counts
 * @param {[number, number]} size
 * @returns {Uint8Array}
 */
export function countsToMask(counts, [height, width]) {
  const total = counts.reduce((a, b) => a + b, 0);
  if (total !== height * width || counts.some((run) => run < 0)) {
    throw new RangeError(
      `got runs that add up to ${total}, expected the ${height} x ${width} pixels of the image`,
    );
  }
  const bits = new Uint8Array(height * width);
  let at = 0;
  counts.forEach((run, i) => {
    if (i % 2) {
      let x = Math.floor(at / height);
      let y = at % height;
      for (let k = 0; k < run; k++) {
        bits[y * width + x] = 1;
        if (++y === height) {
          y = 0;
          x++;
        }
      }
    }
    at += run;
  });
  return bits;
}

/**
 * @param {number[]} counts
 * @returns {string}
 */
export function countsToText(counts) {
  let text = "";
  for (let i = 0; i < counts.length; i++) {
    let value = i > 2 ? counts[i] - counts[i - 2] : counts[i];
    for (let more = true; more; ) {
      const group = value & 0x1f;
      value >>= 5;
      // A value ends where the remaining bits are copies of the sign bit just written.
      more = group & 0x10 ? value !== -1 : value !== 0;
      text += String.fromCharCode(48 + (more ? group | 0x20 : group));
    }
  }
  return text;
}

/**
 * @param {string} text
 * @returns {number[]}
 */
export function textToCounts(text) {
  /** @type {number[]} */
  const counts = [];
  for (let at = 0; at < text.length; ) {
    let value = 0;
    let scale = 1;
    let group = 0x20;
    for (; group & 0x20; scale *= 32) {
      group = text.charCodeAt(at++) - 48;
      // NaN too, past the end.
      if (!(group >= 0 && group < 64) || scale > 2 ** 30) {
        throw new RangeError("got damaged run lengths, expected COCO's compressed counts");
      }
      value += (group & 0x1f) * scale;
    }
    if (group & 0x10) value -= scale;
    if (counts.length > 2) value += counts[counts.length - 2];
    counts.push(value);
  }
  return counts;
}

/**
 * @param {number[]} counts
 * @returns {number} pixels of the mask
 */
export function areaOf(counts) {
  let area = 0;
  for (let i = 1; i < counts.length; i += 2) area += counts[i];
  return area;
}

/**
 * The bounding box of a mask, its last pixels included.
 * @param {number[]} counts
 * @param {number} height
 * @returns {[number, number, number, number] | null} left, top, right, bottom
 */
export function extentOf(counts, height) {
  let [left, top, right, bottom] = [Infinity, Infinity, -1, -1];
  let at = 0;
  for (let i = 0; i < counts.length; at += counts[i++]) {
    if (i % 2 === 0 || counts[i] === 0) continue;
    const last = at + counts[i] - 1;
    const [x0, x1] = [Math.floor(at / height), Math.floor(last / height)];
    left = Math.min(left, x0);
    right = Math.max(right, x1);
    // A run continues from the bottom of a column at the top of the next.
    top = Math.min(top, x0 === x1 ? at % height : 0);
    bottom = Math.max(bottom, x0 === x1 ? last % height : height - 1);
  }
  return right < 0 ? null : [left, top, right, bottom];
}

/**
 * @param {number[]} counts
 * @param {number} height
 * @returns {[number, number, number, number]} x, y, width, height in COCO's
 *   convention: a mask of one pixel is 1 wide
 */
export function cocoBox(counts, height) {
  const extent = extentOf(counts, height);
  if (!extent) return [0, 0, 0, 0];
  const [left, top, right, bottom] = extent;
  return [left, top, right - left + 1, bottom - top + 1];
}

/**
 * @param {number[]} counts
 * @param {[number, number]} size
 * @param {[number, number]} point
 * @returns {boolean} whether the pixel at the point belongs to the mask
 */
export function covers(counts, [height, width], [x, y]) {
  if (!(x >= 0 && y >= 0 && x < width && y < height)) return false;
  const pixel = Math.floor(x) * height + Math.floor(y);
  let end = 0;
  for (let i = 0; i < counts.length; i++) {
    end += counts[i];
    if (pixel < end) return i % 2 === 1;
  }
  return false;
}
