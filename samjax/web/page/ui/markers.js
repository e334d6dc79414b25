/**
 * Draws prompts and cursors on a canvas in pixels of the image. A `unit` is one CSS pixel,
 * so that lines and points have the same size at every zoom.
 */

import { ACTIVE, BACKGROUND, FOREGROUND } from "./colors.js";

/** @typedef {import("../core/frame.js").Point} Point */
/** @typedef {import("../core/frame.js").Box} Box */
/** @typedef {import("../core/strokes.js").Stroke} Stroke */

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Stroke} stroke
 */
export function drawStroke(context, { points, radius, erase }) {
  context.beginPath();
  points.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
  // A line of no length, for a stroke of one point.
  context.lineTo(...points[points.length - 1]);
  context.strokeStyle = erase ? "rgb(217 45 32 / 0.45)" : ACTIVE.fill;
  context.lineWidth = 2 * radius;
  context.stroke();
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {number} unit
 * @param {Box} box
 */
export function drawBox(context, unit, [left, top, right, bottom]) {
  context.lineJoin = "miter";
  for (const [color, width] of /** @type {const} */ ([["rgb(0 0 0 / 0.5)", 4], ["#ffffff", 2]])) {
    context.strokeStyle = color;
    context.lineWidth = width * unit;
    context.strokeRect(left, top, right - left, bottom - top);
  }
  context.lineJoin = "round";
}

/**
 * Hatched, so that a region to blur is not taken for the box of a prompt.
 * @param {CanvasRenderingContext2D} context
 * @param {number} unit
 * @param {Box} box
 */
export function drawRegion(context, unit, [left, top, right, bottom]) {
  const [width, height] = [right - left, bottom - top];
  context.save();
  context.beginPath();
  context.rect(left, top, width, height);
  context.clip();
  context.fillStyle = "rgb(0 0 0 / 0.55)";
  context.fill();
  context.beginPath();
  for (let at = 0; at < width + height; at += 9 * unit) {
    context.moveTo(left + at, top);
    context.lineTo(left + at - height, bottom);
  }
  context.strokeStyle = "rgb(255 255 255 / 0.45)";
  context.lineWidth = 1.5 * unit;
  context.stroke();
  context.restore();
  drawBox(context, unit, [left, top, right, bottom]);
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {number} unit
 * @param {Point} point
 * @param {0 | 1} label
 */
export function drawPoint(context, unit, [x, y], label) {
  context.beginPath();
  context.arc(x, y, 7 * unit, 0, 2 * Math.PI);
  context.fillStyle = label ? FOREGROUND : BACKGROUND;
  context.fill();
  context.strokeStyle = "#ffffff";
  context.lineWidth = 2 * unit;
  context.stroke();
  // Plus and minus as well: not everybody tells the colours apart.
  context.beginPath();
  context.moveTo(x - 3 * unit, y);
  context.lineTo(x + 3 * unit, y);
  if (label) {
    context.moveTo(x, y - 3 * unit);
    context.lineTo(x, y + 3 * unit);
  }
  context.stroke();
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {number} unit
 * @param {{point: Point, radius: number}} tip
 */
export function drawTip(context, unit, { point: [x, y], radius }) {
  for (const [color, width] of /** @type {const} */ ([["rgb(0 0 0 / 0.6)", 3], ["#ffffff", 1.5]])) {
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    context.strokeStyle = color;
    context.lineWidth = width * unit;
    context.stroke();
  }
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {number} unit
 * @param {Point} point
 */
export function drawCrosshair(context, unit, [x, y]) {
  for (const [color, width] of /** @type {const} */ ([["rgb(0 0 0 / 0.7)", 4], ["#ffffff", 1.5]])) {
    context.beginPath();
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      context.moveTo(x + 4 * dx * unit, y + 4 * dy * unit);
      context.lineTo(x + 18 * dx * unit, y + 18 * dy * unit);
    }
    context.strokeStyle = color;
    context.lineWidth = width * unit;
    context.stroke();
  }
}
