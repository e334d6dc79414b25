/** Paints masks on a canvas in pixels of the image. */

import { addToPath } from "../core/outline.js";

/** @typedef {import("../core/postprocessing.js").Shape} Shape */
/** @typedef {{fill: string, line: string}} Colors */

/** @type {WeakMap<Int32Array | Float32Array, Path2D>} */
const paths = new WeakMap();

/**
 * @param {CanvasRenderingContext2D} context
 * @param {number} unit one CSS pixel, in pixels of the image
 * @param {[number, number]} imageSize height and width
 * @param {Shape} shape
 * @param {Colors} colors
 * @param {number} width of the line, in CSS pixels
 */
export function paintShape(context, unit, imageSize, shape, colors, width) {
  let path = paths.get(shape.outline);
  if (!path) {
    path = addToPath(new Path2D(), shape.outline, imageSize[1] / shape.size[1], imageSize[0] / shape.size[0]);
    paths.set(shape.outline, path);
  }
  context.fillStyle = colors.fill;
  context.fill(path, "evenodd");
  // A dark line under the bright one, so that it is seen on bright images.
  context.strokeStyle = "rgb(0 0 0 / 0.45)";
  context.lineWidth = (width + 1.5) * unit;
  context.stroke(path);
  context.strokeStyle = colors.line;
  context.lineWidth = width * unit;
  context.stroke(path);
}
