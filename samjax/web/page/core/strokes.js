/** Brush and eraser: strokes of a round tip on a mask with one byte per pixel. */

/** @typedef {import("./frame.js").Point} Point */

/**
 * @typedef {object} Stroke
 * @property {Point[]} points that the tip passed, in pixels of the image
 * @property {number} radius of the tip, in pixels of the image
 * @property {boolean} erase
 */

/**
 * @param {Uint8Array} bits changed in place
 * @param {[number, number]} size height and width
 * @param {Stroke} stroke
 */
export function paintStroke(bits, size, { points, radius, erase }) {
  points.forEach((point, i) => paintLine(bits, size, points[Math.max(0, i - 1)], point, radius, erase ? 0 : 1));
}

/**
 * Sets all pixels whose centre is at most `radius` away from a line.
 * @param {Uint8Array} bits
 * @param {[number, number]} size
 * @param {Point} from
 * @param {Point} to
 * @param {number} radius
 * @param {0 | 1} value
 */
function paintLine(bits, [height, width], from, to, radius, value) {
  const [dx, dy] = [to[0] - from[0], to[1] - from[1]];
  const length = dx * dx + dy * dy;
  const top = Math.max(0, Math.floor(Math.min(from[1], to[1]) - radius));
  const bottom = Math.min(height - 1, Math.ceil(Math.max(from[1], to[1]) + radius));
  const left = Math.max(0, Math.floor(Math.min(from[0], to[0]) - radius));
  const right = Math.min(width - 1, Math.ceil(Math.max(from[0], to[0]) + radius));
  // The pixel under the tip counts even where the tip is smaller than a pixel.
  const reach = Math.max(radius, Math.SQRT1_2) ** 2;
  for (let y = top; y <= bottom; y++) {
    const py = y + 0.5 - from[1];
    for (let x = left; x <= right; x++) {
      const px = x + 0.5 - from[0];
      const along = length ? Math.min(1, Math.max(0, (px * dx + py * dy) / length)) : 0;
      const [ox, oy] = [px - along * dx, py - along * dy];
      if (ox * ox + oy * oy <= reach) bits[y * width + x] = value;
    }
  }
}
