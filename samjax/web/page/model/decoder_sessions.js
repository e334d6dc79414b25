/**
 * The pair of graphs that answers prompts: `prepare` once an image or mask prompt,
 * `prompt` once a click.
 *
 * What `prepare` returns is handed to `prompt` by name, whatever it is.
 */

import { maskToPrompt } from "../core/mask_prompt.js";
import { toInputs } from "../core/prompts.js";
import { decode } from "../core/run_lengths.js";

/** @typedef {import("./runtime.js").Ort} Ort */
/** @typedef {import("./runtime.js").InferenceSession} InferenceSession */
/** @typedef {import("onnxruntime-web").Tensor} Tensor */
/** @typedef {import("../core/frame.js").Frame} Frame */
/** @typedef {import("../core/prompts.js").Prompt} Prompt */

/**
 * @typedef {object} Features
 * @property {Float32Array} data
 * @property {number[]} shape 1, channels, height, width
 */

/**
 * @typedef {object} Logits
 * @property {Float32Array} masks low-res logits of all masks
 * @property {Float32Array} scores predicted IoU of each
 * @property {number} side of a mask
 */

/**
 * @typedef {object} OpenImage
 * @property {Features} features
 * @property {Record<string, Tensor>} plain what prompts without a mask share
 * @property {{of: string, shared: Record<string, Tensor>} | null} masked and those with the last mask
 */

/** How many answers it takes until the runtime is as fast as it gets. */
const WARM_UP = 10;

export class Decoder {
  #ort;
  #prepare;
  #prompt;
  /** @type {OpenImage | null} */
  #image = null;
  #answered = 0;

  /**
   * @param {Ort} ort
   * @param {InferenceSession} prepare
   * @param {InferenceSession} prompt
   */
  constructor(ort, prepare, prompt) {
    this.#ort = ort;
    this.#prepare = prepare;
    this.#prompt = prompt;
  }

  /**
   * Turns to an image. Only one is kept: what its prompts share takes tens of megabytes.
   * @param {Features} features
   */
  async open(features) {
    this.#image = { features, plain: await this.#share(features, null), masked: null };
  }

  /** Whether it has answered often enough to be fast. */
  get isWarm() {
    return this.#answered >= WARM_UP;
  }

  /**
   * @param {Prompt} prompt
   * @param {Frame} frame
   * @returns {Promise<Logits>}
   */
  async answer(prompt, frame) {
    if (!this.#image) throw new Error("there is no image to ask");
    const { features } = this.#image;
    const { point_coords, point_labels } = toInputs(prompt, frame);
    const count = point_labels.length;
    /** @type {Record<string, Tensor>} */
    const feeds = {
      ...(await this.#shared(prompt, frame)),
      image_embeddings: this.#tensor(features.data, features.shape),
      point_coords: this.#tensor(point_coords, [1, count, 2]),
      point_labels: this.#tensor(point_labels, [1, count]),
    };
    const answers = await this.#prompt.run(pick(feeds, this.#prompt.inputNames));
    this.#answered++;
    const masks = answers.low_res_masks;
    return {
      masks: /** @type {Float32Array} */ (masks.data),
      scores: /** @type {Float32Array} */ (answers.iou_predictions.data),
      side: masks.dims[masks.dims.length - 1],
    };
  }

  /**
   * Answers a prompt for nobody: the browser compiles the runtime well only once it has
   * run some, and the first clicks are to be as fast as the next ones.
   * @param {number[]} shape of the features
   */
  async warmUp(shape) {
    if (!this.#image) await this.open({ data: new Float32Array(shape.reduce((a, b) => a * b, 1)), shape });
    /** @type {Frame} */
    const frame = { originalSize: [8, 8], resizedSize: [8, 8], modelSize: 8 };
    await this.answer({ points: [[4, 4]], labels: [1], box: null, mask: null, text: null }, frame);
  }

  /**
   * @param {Prompt} prompt
   * @param {Frame} frame
   */
  async #shared({ mask }, frame) {
    const image = /** @type {OpenImage} */ (this.#image);
    if (!mask) return image.plain;
    if (image.masked?.of !== mask.counts) {
      const shared = await this.#share(image.features, maskToPrompt(decode(mask), frame, 4 * image.features.shape[2]));
      image.masked = { of: mask.counts, shared };
    }
    return image.masked.shared;
  }

  /**
   * @param {Features} features
   * @param {Float32Array | null} mask low-res logits
   * @returns {Promise<Record<string, Tensor>>}
   */
  async #share({ data, shape }, mask) {
    const [height, width] = [4 * shape[2], 4 * shape[3]];
    const feeds = {
      image_embeddings: this.#tensor(data, shape),
      mask_input: this.#tensor(mask ?? new Float32Array(height * width), [1, 1, height, width]),
      has_mask_input: this.#tensor(Float32Array.of(mask ? 1 : 0), [1]),
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
      if (!(name in values)) throw new Error(`the graph wants ${name}, which nothing gives`);
      return [name, values[name]];
    }),
  );
}
