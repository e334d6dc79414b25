/** Embeds a photo in the browser, as `Predictor.embed` does on a server. */

import { fitFrame } from "../core/frame.js";
import { pilResize } from "../core/pil_resize.js";

/** @typedef {import("./runtime.js").Ort} Ort */
/** @typedef {import("./runtime.js").InferenceSession} InferenceSession */
/** @typedef {import("./decoder_sessions.js").Features} Features */

/**
 * @param {Ort} ort
 * @param {InferenceSession} session
 * @param {Blob} photo
 * @param {number} modelSize
 * @returns {Promise<Features>}
 */
export async function embedPhoto(ort, session, photo, modelSize) {
  const { pixels, size } = await readPixels(photo);
  const { resizedSize } = fitFrame(size, modelSize);
  const resized = pilResize(pixels, size, 4, resizedSize);
  const image = new ort.Tensor("float32", Float32Array.from(resized), [...resizedSize, 3]);
  const { image_embeddings: embedding } = await session.run({ image });
  return { data: /** @type {Float32Array} */ (embedding.data), shape: [...embedding.dims] };
}

/**
 * Decodes a file, with its orientation applied and without colour management, as the
 * model's training images were.
 * @param {Blob} photo
 * @returns {Promise<{pixels: Uint8ClampedArray, size: [number, number]}>}
 */
async function readPixels(photo) {
  const bitmap = await createImageBitmap(photo, {
    imageOrientation: "from-image",
    colorSpaceConversion: "none",
    premultiplyAlpha: "none",
  });
  const { width, height } = bitmap;
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) throw new Error("this browser has no 2D canvas, which decoding the photo needs");
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return { pixels: context.getImageData(0, 0, width, height).data, size: [height, width] };
}
