/**
 * Coordinate frames: pixels of the image, of the model's input, and of the screen.
 *
 * The model's frame is that of `samjax/geometry/frame.py`: the longest side is resized to
 * the model's input size, each side is rounded on its own, padding is on the right and at
 * the bottom.
 */

/**
 * @typedef {object} Frame
 * @property {[number, number]} originalSize height and width of the image
 * @property {[number, number]} resizedSize height and width in the model's input
 * @property {number} modelSize side of the model's square input
 */

/**
 * A view of an image: a screen pixel is `scale` times an image pixel, plus an offset.
 * @typedef {object} View
 * @property {number} scale screen pixels per image pixel
 * @property {number} x screen position of the image's left edge
 * @property {number} y screen position of its upper edge
 */

/** @typedef {[number, number]} Point (x, y) */
/** @typedef {[number, number, number, number]} Box left, top, right, bottom */

export const LARGEST_SCALE = 32;

/**
 * @param {[number, number]} originalSize height and width
 * @param {number} modelSize
 * @returns {Frame}
 */
export function fitFrame(originalSize, modelSize) {
  const [height, width] = originalSize;
  if (!(Math.min(height, width, modelSize) >= 1)) {
    throw new RangeError(
      `got an image of ${height} x ${width}, expected sides of at least 1 pixel`,
    );
  }
  const scale = modelSize / Math.max(height, width);
  // Halves are rounded up, as in the reference; a thin image keeps at least one row.
  const resize = (/** @type {number} */ side) => Math.max(1, Math.floor(side * scale + 0.5));
  return { originalSize, resizedSize: [resize(height), resize(width)], modelSize };
}

/**
 * @param {Frame} frame
 * @param {Point} point in pixels of the image
 * @returns {Point} in pixels of the model's input
 */
export function toModel({ originalSize, resizedSize }, [x, y]) {
  return [
    (x * resizedSize[1]) / originalSize[1],
    (y * resizedSize[0]) / originalSize[0],
  ];
}

/**
 * The image's size, scaled down so that its longest side is at most `longest`.
 * @param {[number, number]} originalSize height and width
 * @param {number} longest
 * @returns {[number, number]}
 */
export function previewSize(originalSize, longest) {
  const scale = Math.min(1, longest / Math.max(...originalSize));
  return [
    Math.max(1, Math.round(originalSize[0] * scale)),
    Math.max(1, Math.round(originalSize[1] * scale)),
  ];
}

/**
 * The view that shows all of an image, centred.
 * @param {[number, number]} imageSize height and width
 * @param {[number, number]} screenSize height and width
 * @param {number} [margin] in screen pixels
 * @returns {View}
 */
export function fitView([height, width], [screenHeight, screenWidth], margin = 16) {
  const scale = Math.min(
    LARGEST_SCALE,
    Math.max(1, screenWidth - 2 * margin) / width,
    Math.max(1, screenHeight - 2 * margin) / height,
  );
  return {
    scale,
    x: (screenWidth - width * scale) / 2,
    y: (screenHeight - height * scale) / 2,
  };
}

/**
 * Zooms about a point of the screen, which stays where it is.
 * @param {View} view
 * @param {Point} about in screen pixels
 * @param {number} factor
 * @param {number} smallest scale
 * @returns {View}
 */
export function zoomAt(view, [x, y], factor, smallest) {
  const scale = Math.min(LARGEST_SCALE, Math.max(smallest, view.scale * factor));
  const by = scale / view.scale;
  return { scale, x: x - (x - view.x) * by, y: y - (y - view.y) * by };
}

/**
 * Keeps at least a strip of the image on the screen.
 * @param {View} view
 * @param {[number, number]} imageSize height and width
 * @param {[number, number]} screenSize height and width
 * @returns {View}
 */
export function keepInSight(view, [height, width], [screenHeight, screenWidth]) {
  const strip = 48;
  const clampStart = (/** @type {number} */ start, /** @type {number} */ size, /** @type {number} */ screen) =>
    Math.min(screen - strip, Math.max(strip - size, start));
  return {
    scale: view.scale,
    x: clampStart(view.x, width * view.scale, screenWidth),
    y: clampStart(view.y, height * view.scale, screenHeight),
  };
}

/**
 * @param {View} view
 * @param {Point} point in screen pixels
 * @returns {Point} in image pixels
 */
export function toImage(view, [x, y]) {
  return [(x - view.x) / view.scale, (y - view.y) / view.scale];
}

/**
 * @param {View} view
 * @param {Point} point in image pixels
 * @returns {Point} in screen pixels
 */
export function toScreen(view, [x, y]) {
  return [x * view.scale + view.x, y * view.scale + view.y];
}

/**
 * @param {Point} point
 * @param {[number, number]} size height and width of the image
 * @returns {boolean}
 */
export function isInside([x, y], [height, width]) {
  return x >= 0 && y >= 0 && x < width && y < height;
}

/**
 * @param {Point} point
 * @param {[number, number]} size height and width of the image
 * @returns {Point} the nearest point of the image
 */
export function clampTo([x, y], [height, width]) {
  return [Math.min(width, Math.max(0, x)), Math.min(height, Math.max(0, y))];
}
