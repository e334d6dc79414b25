/**
 * The thread that the model lives in, with all work on pixels: the page only draws.
 *
 * Each message is a call with a number; its answer, its progress and its error come back
 * with the same number.
 */

import { drawSegmentation, drawStroke, keepAnswer, showAnswer } from "../core/postprocessing.js";
import { Decoder } from "./decoder_sessions.js";
import { embedPhoto } from "./encoder.js";
import { findEverything } from "./everything.js";
import { fitFrame } from "../core/frame.js";
import { fetchBytes, loadRuntime, makeSession } from "./runtime.js";

/** @typedef {import("../core/prompts.js").Prompt} Prompt */
/** @typedef {import("../core/frame.js").Frame} Frame */
/** @typedef {import("./decoder_sessions.js").Features} Features */
/** @typedef {import("./decoder_sessions.js").Logits} Logits */
/** @typedef {import("./runtime.js").GraphFile} GraphFile */
/** @typedef {import("../core/run_lengths.js").Segmentation} Segmentation */
/** @typedef {import("../core/strokes.js").Stroke} Stroke */
/** @typedef {import("./everything.js").EverythingOptions} EverythingOptions */
/** @typedef {{done: number, total: number}} Progress */
/** @typedef {(progress: Progress) => void} Report */

/** @typedef {typeof calls} Calls */

/** @type {{ort: import("./runtime.js").Ort, encoder: import("onnxruntime-web").InferenceSession | null, decoder: Decoder} | null} */
let loaded = null;
/** @type {{key: string, frame: Frame} | null} */
let image = null;
/**
 * What was asked for last, until it is kept: previews and clicks apart.
 * @type {Map<string, {frame: Frame, logits: Logits, of: string, milliseconds: number}>}
 */
const answers = new Map();
/** @type {Set<number>} */
const cancelled = new Set();
/** The model does one thing at a time. @type {Promise<unknown>} */
let turn = Promise.resolve();
let waiting = 0;

const calls = {
  /**
   * @param {{prepare: GraphFile, prompt: GraphFile, encoder: GraphFile | null, shape: number[], threads: number}} files
   * @param {Report} report
   */
  async load({ prepare, prompt, encoder, shape, threads: most }, report) {
    const total = prepare.bytes + prompt.bytes + (encoder?.bytes ?? 0);
    let done = 0;
    const onBytes = (/** @type {number} */ bytes) => report({ done: (done += bytes), total });
    // Files come at once; sessions are made one after another: the runtime must not be
    // started twice.
    const files = [prepare, prompt, encoder].map((file) => file && fetchBytes(file, onBytes));
    for (const file of files) file?.catch(() => {});
    const { ort, threads } = await loadRuntime(most);
    const session = async (/** @type {number} */ i) => makeSession(ort, /** @type {Uint8Array} */ (await files[i]));
    const decoder = new Decoder(ort, await session(0), await session(1));
    loaded = { ort, decoder, encoder: encoder && (await session(2)) };
    void warmUp(decoder, shape);
    return { threads };
  },

  /**
   * @param {{photo: Blob, modelSize: number}} given
   * @returns {Promise<{features: Features, milliseconds: number}>}
   */
  embed({ photo, modelSize }) {
    return inTurn(async () => {
      const { ort, encoder } = model();
      if (!encoder) throw new Error("this page has no encoder of its own");
      const started = performance.now();
      const features = await embedPhoto(ort, encoder, photo, modelSize);
      return { features, milliseconds: performance.now() - started };
    });
  },

  /** @param {{key: string, size: [number, number], modelSize: number, features: Features}} given */
  open({ key, size, modelSize, features }) {
    return inTurn(async () => {
      image = null;
      answers.clear();
      await model().decoder.open(features);
      image = { key, frame: fitFrame(size, modelSize) };
    });
  },

  /** @param {{key: string, prompt: Prompt, slot: "click" | "hover"}} given */
  answer({ key, prompt, slot }) {
    return inTurn(async () => {
      const { frame } = opened(key);
      const of = JSON.stringify(prompt);
      // Who clicks has hovered there before: that is the answer.
      let answer = answers.get("hover");
      if (answer?.of !== of) {
        const started = performance.now();
        const logits = await model().decoder.answer(prompt, frame);
        answer = { frame, logits, of, milliseconds: performance.now() - started };
      }
      answers.set(slot, answer);
      const { logits, milliseconds } = answer;
      return { masks: showAnswer(prompt, frame, logits, slot === "hover"), milliseconds };
    });
  },

  /** @param {{index: number}} given of the mask in the last answer to a click */
  async keep({ index }) {
    const answer = answers.get("click");
    if (!answer) throw new Error("there is no mask to keep");
    return keepAnswer(answer.frame, answer.logits, index);
  },

  /** @param {{segmentation: Segmentation | null, size: [number, number], stroke: Stroke}} given */
  async stroke({ segmentation, size, stroke }) {
    return drawStroke(segmentation, size, stroke);
  },

  /** @param {{segmentation: Segmentation}} given */
  async draw({ segmentation }) {
    return drawSegmentation(segmentation);
  },

  /**
   * @param {{key: string, options: EverythingOptions}} given
   * @param {Report} report
   * @param {number} id
   */
  async everything({ key, options }, report, id) {
    const { frame } = opened(key);
    // Clicks and hovers go between points.
    const answer = (/** @type {Prompt} */ prompt) =>
      inTurn(() => (opened(key), model().decoder.answer(prompt, frame)));
    return findEverything(answer, frame, options, async (done, total) => {
      report({ done, total });
      await nextMessage();
      return !cancelled.delete(id);
    });
  },

  /** @param {{call: number}} given */
  async cancel({ call }) {
    cancelled.add(call);
  },
};

function model() {
  if (!loaded) throw new Error("the model is not loaded yet");
  return loaded;
}

/** @param {string} key */
function opened(key) {
  if (image?.key !== key) throw new Error("another image is open");
  return image;
}

/**
 * @template T
 * @param {() => Promise<T>} task
 * @returns {Promise<T>}
 */
function inTurn(task) {
  waiting++;
  const mine = turn.then(task).finally(() => waiting--);
  turn = mine.catch(() => {});
  return mine;
}

/**
 * @param {Decoder} decoder
 * @param {number[]} shape of the features
 */
async function warmUp(decoder, shape) {
  // An image that is about to be opened goes first.
  await nextMessage(300);
  while (!decoder.isWarm) {
    // So does whoever waits for the model.
    await nextMessage(60);
    if (waiting === 0) await inTurn(() => decoder.warmUp(shape));
  }
}

/**
 * Lets messages in: the model's runs do not.
 * @param {number} [milliseconds]
 */
function nextMessage(milliseconds = 0) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/**
 * Buffers that are moved rather than copied.
 * @param {any} value
 * @param {Transferable[]} found
 * @returns {Transferable[]}
 */
function buffersOf(value, found = []) {
  if (ArrayBuffer.isView(value)) {
    if (value.buffer instanceof ArrayBuffer && !found.includes(value.buffer)) found.push(value.buffer);
  } else if (value && typeof value === "object") {
    for (const part of Object.values(value)) buffersOf(part, found);
  }
  return found;
}

self.onmessage = async ({ data: { id, call, given } }) => {
  const report = (/** @type {Progress} */ progress) => self.postMessage({ id, progress });
  try {
    const value = await calls[/** @type {keyof Calls} */ (call)](given, report, id);
    self.postMessage({ id, value }, { transfer: buffersOf(value) });
  } catch (error) {
    self.postMessage({ id, error: error instanceof Error ? error.message : String(error) });
  }
};
