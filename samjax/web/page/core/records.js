/**
 * Export formats of the demo: SA-1B, COCO, and label maps.
 *
 * `frame` records that masks are in the frame of the upright photo, with its EXIF
 * orientation applied, as browsers show it.
 */

import { areaOf, cocoBox, decode, extentOf, textToCounts } from "./run_lengths.js";

/** @typedef {import("../io/backend.js").Annotation} Annotation */
/** @typedef {import("../io/backend.js").ImageEntry} ImageEntry */

/**
 * SA-1B's records. Their boxes end at the last pixel: a mask of one pixel has width 0.
 * @param {ImageEntry} image
 * @param {Annotation[]} annotations
 */
export function toSa1b({ name, width, height }, annotations) {
  return {
    image: { image_id: 1, width, height, file_name: name, frame: "upright" },
    annotations: annotations.map((annotation, i) => {
      const { segmentation, prompts, uuid, label, source, level, author, seconds, edited } = annotation;
      const counts = textToCounts(segmentation.counts);
      const [left, top, right, bottom] = extentOf(counts, height) ?? [0, 0, 0, 0];
      return {
        bbox: [left, top, right - left, bottom - top],
        area: areaOf(counts),
        segmentation,
        // A mask without scores, drawn by hand, passes every threshold on them.
        predicted_iou: annotation.score ?? 1,
        point_coords: prompts.points.filter((_, point) => prompts.labels[point] === 1),
        crop_box: [0, 0, width, height],
        id: i + 1,
        stability_score: annotation.stability_score ?? 1,
        uuid, label, source, level, author, seconds, edited,
      };
    }),
  };
}

/**
 * @param {ImageEntry} image
 * @param {Annotation[]} annotations
 */
export function toCoco({ name, width, height }, annotations) {
  const names = [...new Set(annotations.map(({ label }) => label || "object"))].sort();
  return {
    images: [{ id: 1, width, height, file_name: name, frame: "upright" }],
    categories: names.map((label, i) => ({ id: i + 1, name: label })),
    annotations: annotations.map(({ label, segmentation }, i) => {
      const counts = textToCounts(segmentation.counts);
      return {
        id: i + 1,
        image_id: 1,
        category_id: names.indexOf(label || "object") + 1,
        segmentation,
        area: areaOf(counts),
        bbox: cocoBox(counts, height),
        iscrowd: 0,
      };
    }),
  };
}

/**
 * A label map: one grey value per mask in their order, from 1, later masks over earlier
 * ones; 0 is background.
 * @param {ImageEntry} image
 * @param {Annotation[]} annotations
 * @returns {Uint8ClampedArray} RGBA
 */
export function toLabelPixels({ width, height }, annotations) {
  const pixels = new Uint8ClampedArray(width * height * 4);
  for (let at = 3; at < pixels.length; at += 4) pixels[at] = 255;
  annotations.slice(0, 255).forEach(({ segmentation }, i) => {
    const bits = decode(segmentation);
    for (let at = 0; at < bits.length; at++) {
      if (bits[at]) pixels.fill(i + 1, 4 * at, 4 * at + 3);
    }
  });
  return pixels;
}
