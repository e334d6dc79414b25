/** The layout of image embeddings. */

/** @typedef {{data: Float32Array, shape: number[]}} Features */

/**
 * The decoder's graphs take [1, channels, height, width]; files of `ImageEmbedding` have
 * [height, width, channels].
 * @param {Features} features in either layout
 * @returns {Features} [1, channels, height, width]
 */
export function toChannelsFirst({ data, shape }) {
  if (shape.length === 4) return { data, shape };
  const [height, width, channels] = shape;
  const cells = height * width;
  const out = new Float32Array(data.length);
  for (let cell = 0, at = 0; cell < cells; cell++) {
    for (let channel = 0; channel < channels; channel++, at++) out[channel * cells + cell] = data[at];
  }
  return { data: out, shape: [1, channels, height, width] };
}
