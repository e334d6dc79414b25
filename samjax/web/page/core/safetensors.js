/** Reads safetensors files: a JSON header, then the bytes of the tensors. */

/**
 * @typedef {object} Tensor
 * @property {string} dtype
 * @property {number[]} shape
 * @property {Float32Array} data
 */

const LARGEST_HEADER = 1 << 20;

/**
 * @param {ArrayBuffer} buffer
 * @returns {{tensors: Record<string, Tensor>, metadata: Record<string, string>}}
 */
export function readSafetensors(buffer) {
  const size = buffer.byteLength < 8 ? NaN : Number(new DataView(buffer).getBigUint64(0, true));
  if (!(size <= LARGEST_HEADER && 8 + size <= buffer.byteLength)) {
    throw new RangeError(`got ${buffer.byteLength} bytes that are not a safetensors file`);
  }
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, size)));
  const { __metadata__: metadata = {}, ...described } = header;
  /** @type {Record<string, Tensor>} */
  const tensors = {};
  for (const [name, { dtype, shape, data_offsets: [from, to] }] of Object.entries(described)) {
    const count = shape.reduce((/** @type {number} */ a, /** @type {number} */ b) => a * b, 1);
    const width = { F32: 4, F16: 2 }[/** @type {string} */ (dtype)];
    if (!width) throw new RangeError(`got a tensor of ${dtype}, expected F32 or F16`);
    if (to - from !== count * width || 8 + size + to > buffer.byteLength) {
      throw new RangeError(`got a damaged safetensors file: the bytes of ${name} are not ${shape}`);
    }
    // A copy: the bytes of a tensor need not be aligned.
    const bytes = buffer.slice(8 + size + from, 8 + size + to);
    const data = width === 4 ? new Float32Array(bytes) : widen(new Uint16Array(bytes));
    tensors[name] = { dtype, shape, data };
  }
  return { tensors, metadata };
}

/**
 * @param {Uint16Array} halves float16
 * @returns {Float32Array}
 */
export function widen(halves) {
  const out = new Float32Array(halves.length);
  const bits = new Uint32Array(out.buffer);
  for (let i = 0; i < halves.length; i++) {
    const sign = (halves[i] & 0x8000) << 16;
    const exponent = (halves[i] >> 10) & 0x1f;
    const fraction = halves[i] & 0x3ff;
    if (exponent === 0) out[i] = (sign ? -1 : 1) * fraction * 2 ** -24;
    else bits[i] = sign | ((exponent === 31 ? 255 : exponent + 112) << 23) | (fraction << 13);
  }
  return out;
}
