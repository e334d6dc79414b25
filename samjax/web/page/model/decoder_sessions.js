/**
 * The mask decoder as two ONNX sessions: `prepare` runs once per image or mask input,
 * `prompt` once per prompt.
 *
 * All outputs of `prepare` are passed to `prompt` by name: this file knows none of them.
 */

import { maskToPrompt } from "../core/mask_prompt.js";
import { NO_PROMPT, toInputs } from "../core/prompts.js";
import { decode } from "../core/run_lengths.js";

/** @typedef {import("./runtime.js").Ort} Ort */
/** @typedef {import("./runtime.js").InferenceSession} InferenceSession */
/** @typedef {import("onnxruntime-web").Tensor} Tensor */
/** @typedef {import("../core/frame.js").Frame} Frame */
/** @typedef {import("../core/prompts.js").Prompt} Prompt */
/** @typedef {import("../core/postprocessing.js").DecoderOutput} DecoderOutput */

/**
 * @typedef {object} Features
 * @property {Float32Array} data
 * @property {number[]} shape 1, channels, height, width
 */

/**
 * @typedef {object} OpenImage
 * @property {Features} features
 * @property {Record<string, Tensor>} plain outputs of `prepare` without a mask input and text
 * @property {{counts: string, prepared: Record<string, Tensor>} | null} masked those with the last mask input
 */

// Runs after which browsers have compiled the runtime's hot functions (measured).
const WARM_UP = 10;

export class DecoderSessions {
  #ort;
  #prepare;
  #prompt;
  #text;
  /** @type {OpenImage | null} */
  #image = null;
  #runs = 0;

  /**
   * @param {Ort} ort
   * @param {InferenceSession} prepare
   * @param {InferenceSession} prompt
   * @param {InferenceSession | null} text makes prompts of texts, where the others take them
   */
  constructor(ort, prepare, prompt, text = null) {
    this.#ort = ort;
    this.#prepare = prepare;
    this.#prompt = prompt;
    this.#text = text;
  }

  /**
   * Prepares an image. Only one is held: the outputs of `prepare` take tens of megabytes.
   * @param {Features} features
   */
  async open(features) {
    this.#image = { features, plain: await this.#prepareWith(features, null), masked: null };
  }

  /** Whether the browser has compiled the runtime well by now. */
  get isWarm() {
    return this.#runs >= WARM_UP;
  }

  /**
   * @param {Prompt} prompt
   * @param {Frame} frame
   * @param {number[] | null} tokens of the prompt's text
   * @returns {Promise<DecoderOutput>}
   */
  async predict(prompt, frame, tokens = null) {
    if (!this.#image) throw new Error("no image is open");
    const { features } = this.#image;
    const text = tokens && (await this.#embed(tokens, features));
    const { point_coords, point_labels } = toInputs(prompt, frame);
    const count = point_labels.length;
    /** @type {Record<string, Tensor>} */
    const feeds = {
      ...(await this.#prepared(prompt, frame, text?.text_dense)),
      text_tokens: text?.text_tokens ?? this.#tensor(new Float32Array(0), [0, features.shape[1]]),
      image_embeddings: this.#tensor(features.data, features.shape),
      point_coords: this.#tensor(point_coords, [1, count, 2]),
      point_labels: this.#tensor(point_labels, [1, count]),
    };
    const outputs = await this.#prompt.run(pick(feeds, this.#prompt.inputNames));
    this.#runs++;
    const masks = outputs.low_res_masks;
    return {
      masks: /** @type {Float32Array} */ (masks.data),
      scores: /** @type {Float32Array} */ (outputs.iou_predictions.data),
      side: masks.dims[masks.dims.length - 1],
    };
  }

  /**
   * Runs once on a dummy prompt: browsers optimise the runtime only after some runs, and
   * the first clicks are to be as fast as later ones.
   * @param {number[]} shape of the features
   */
  async warmUp(shape) {
    if (!this.#image) await this.open({ data: new Float32Array(shape.reduce((a, b) => a * b, 1)), shape });
    /** @type {Frame} */
    const frame = { originalSize: [8, 8], resizedSize: [8, 8], modelSize: 8 };
    await this.predict({ ...NO_PROMPT, points: [[4, 4]], labels: [1] }, frame);
  }

  /**
   * @param {number[]} tokens
   * @param {Features} features
   * @returns {Promise<Record<string, Tensor>>} what a text is to the decoder
   */
  async #embed(tokens, { data, shape }) {
    if (!this.#text) throw new Error("this page has no text tower");
    const feeds = {
      tokens: new this.#ort.Tensor("int64", BigInt64Array.from(tokens, BigInt), [1, tokens.length]),
      image_embeddings: this.#tensor(data, shape),
    };
    return { ...(await this.#text.run(pick(feeds, this.#text.inputNames))) };
  }

  /**
   * @param {Prompt} prompt
   * @param {Frame} frame
   * @param {Tensor} [dense] what a text adds to the image embedding
   */
  async #prepared({ mask }, frame, dense) {
    const image = /** @type {OpenImage} */ (this.#image);
    if (dense) {
      const side = 4 * image.features.shape[2];
      return this.#prepareWith(image.features, mask && maskToPrompt(decode(mask), frame, side), dense);
    }
    if (!mask) return image.plain;
    if (image.masked?.counts !== mask.counts) {
      const prepared = await this.#prepareWith(image.features, maskToPrompt(decode(mask), frame, 4 * image.features.shape[2]));
      image.masked = { counts: mask.counts, prepared };
    }
    return image.masked.prepared;
  }

  /**
   * @param {Features} features
   * @param {Float32Array | null} mask low-res logits
   * @param {Tensor} [dense] what a text adds to the image embedding
   * @returns {Promise<Record<string, Tensor>>}
   */
  async #prepareWith({ data, shape }, mask, dense) {
    // Low-res masks have four times the side of the embedding.
    const [height, width] = [4 * shape[2], 4 * shape[3]];
    const feeds = {
      image_embeddings: this.#tensor(data, shape),
      mask_input: this.#tensor(mask ?? new Float32Array(height * width), [1, 1, height, width]),
      has_mask_input: this.#tensor(Float32Array.of(mask ? 1 : 0), [1]),
      // Large, and an input only where texts are compared with the image.
      ...(this.#prepare.inputNames.includes("text_dense") && {
        text_dense: dense ?? this.#tensor(new Float32Array(data.length), shape),
      }),
    };
    return { ...(await this.#prepare.run(pick(feeds, this.#prepare.inputNames))) };
  }

  /**
   * @param {Float32Array} data
   * @param {number[]} shape
   * @returns {Tensor}
   */
  #tensor(data, shape) {
    return new this.#ort.Tensor("float32", data, shape);
  }
}

/**
 * @template T
 * @param {Record<string, T>} values
 * @param {readonly string[]} names
 * @returns {Record<string, T>}
 */
function pick(values, names) {
  return Object.fromEntries(
    names.map((name) => {
      if (!(name in values)) throw new Error(`the graph has an input ${name}, for which there is no value`);
      return [name, values[name]];
    }),
  );
}
