/** For automatic mask generation: a grid of points, and non-maximum suppression. */

/** @typedef {import("./frame.js").Point} Point */

/**
 * The centres of n x n cells of an image, row by row.
 * @param {number} perSide
 * @param {[number, number]} size height and width
 * @returns {Point[]}
 */
export function pointGrid(perSide, [height, width]) {
  /** @type {Point[]} */
  const points = [];
  for (let i = 0; i < perSide; i++) {
    for (let j = 0; j < perSide; j++) {
      points.push([((j + 0.5) * width) / perSide, ((i + 0.5) * height) / perSide]);
    }
  }
  return points;
}

/**
 * Greedy NMS, as torchvision's: by descending score, a box is kept unless its IoU with a
 * kept one is above the threshold. Equal scores keep their order.
 * @param {ArrayLike<number>[]} boxes left, top, right, bottom
 * @param {number[]} scores
 * @param {number} threshold
 * @returns {number[]} indices of the kept boxes, by descending score
 */
export function nms(boxes, scores, threshold) {
  const order = scores.map((_, i) => i).sort((a, b) => scores[b] - scores[a] || a - b);
  /** @type {number[]} */
  const kept = [];
  for (const index of order) {
    if (kept.every((other) => !(boxIou(boxes[index], boxes[other]) > threshold))) kept.push(index);
  }
  return kept;
}

/**
 * @param {ArrayLike<number>} a
 * @param {ArrayLike<number>} b
 * @returns {number} 0, never NaN, for boxes without area
 */
export function boxIou(a, b) {
  const width = Math.min(a[2], b[2]) - Math.max(a[0], b[0]);
  const height = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  const shared = Math.max(0, width) * Math.max(0, height);
  const union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared;
  return union > 0 ? shared / union : 0;
}
