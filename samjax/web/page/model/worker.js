/**
 * The worker of the model and of all work on pixels; the page itself only draws.
 *
 * Each message is a call with an id; its value, progress and error are sent back with the
 * same id.
 */

import { fitFrame } from "../core/frame.js";
import { masksToShow } from "../core/prompts.js";
import { fullMask, paintedMask, previewMasks, tracedMask } from "../core/postprocessing.js";
import { DecoderSessions } from "./decoder_sessions.js";
import { embedPhoto } from "./encoder.js";
import { generateMasks } from "./everything.js";
import { fetchBytes, loadRuntime, makeSession } from "./runtime.js";

/** @typedef {import("../core/prompts.js").Prompt} Prompt */
/** @typedef {import("../core/frame.js").Frame} Frame */
/** @typedef {import("./decoder_sessions.js").Features} Features */
/** @typedef {import("../core/postprocessing.js").DecoderOutput} DecoderOutput */
/** @typedef {import("./runtime.js").GraphFile} GraphFile */
/** @typedef {import("../core/run_lengths.js").Segmentation} Segmentation */
/** @typedef {import("../core/strokes.js").Stroke} Stroke */
/** @typedef {import("./everything.js").EverythingOptions} EverythingOptions */
/** @typedef {{done: number, total: number}} Progress */
/** @typedef {(progress: Progress) => void} Report */

/** @typedef {typeof calls} Calls */

/** @type {{ort: import("./runtime.js").Ort, encoder: import("onnxruntime-web").InferenceSession | null, decoder: DecoderSessions} | null} */
let loaded = null;
/** @type {{key: string, frame: Frame} | null} */
let image = null;
/**
 * The last prediction of a hover and that of a click, by slot.
 * @type {Map<"hover" | "click", {frame: Frame, output: DecoderOutput, prompt: string, milliseconds: number}>}
 */
const predictions = new Map();
/** @type {Set<number>} */
const cancelled = new Set();
/** Sessions run one call at a time. @type {Promise<unknown>} */
let turn = Promise.resolve();
let waiting = 0;

const calls = {
  /**
   * @param {{prepare: GraphFile, prompt: GraphFile, text?: GraphFile, encoder: GraphFile | null, shape: number[], threads: number}} files
   * @param {Report} report
   */
  async load({ prepare, prompt, text, encoder, shape, threads: maxThreads }, report) {
    const total = prepare.bytes + prompt.bytes + (encoder?.bytes ?? 0) + (text?.bytes ?? 0);
    let done = 0;
    const onBytes = (/** @type {number} */ bytes) => report({ done: (done += bytes), total });
    // Files are fetched together; sessions are created one after another, since the
    // runtime must not be initialised twice.
    const files = [prepare, prompt, encoder, text].map((file) => file && fetchBytes(file, onBytes));
    for (const file of files) file?.catch(() => {});
    const { ort, threads } = await loadRuntime(maxThreads);
    const session = async (/** @type {number} */ i) => makeSession(ort, /** @type {Uint8Array} */ (await files[i]));
    const decoder = new DecoderSessions(ort, await session(0), await session(1), text ? await session(3) : null);
    loaded = { ort, decoder, encoder: encoder && (await session(2)) };
    void warmUp(decoder, shape);
    return { threads };
  },

  /**
   * @param {{photo: Blob, modelSize: number}} values
   * @returns {Promise<{features: Features, milliseconds: number}>}
   */
  embed({ photo, modelSize }) {
    return inTurn(async () => {
      const { ort, encoder } = model();
      if (!encoder) throw new Error("this page has no encoder: its server embeds images");
      const started = performance.now();
      const features = await embedPhoto(ort, encoder, photo, modelSize);
      return { features, milliseconds: performance.now() - started };
    });
  },

  /** @param {{key: string, size: [number, number], modelSize: number, features: Features}} values */
  open({ key, size, modelSize, features }) {
    return inTurn(async () => {
      image = null;
      predictions.clear();
      await model().decoder.open(features);
      image = { key, frame: fitFrame(size, modelSize) };
    });
  },

  /** @param {{key: string, prompt: Prompt, slot: "click" | "hover"}} values */
  predict({ key, prompt, slot }) {
    return inTurn(async () => {
      const { frame } = opened(key);
      const text = JSON.stringify(prompt);
      // A click is mostly where the pointer hovered before: that prediction is reused.
      let prediction = predictions.get("hover");
      if (prediction?.prompt !== text) {
        const started = performance.now();
        const output = await model().decoder.predict(prompt, frame);
        prediction = { frame, output, prompt: text, milliseconds: performance.now() - started };
      }
      predictions.set(slot, prediction);
      const { output, milliseconds } = prediction;
      return { masks: previewMasks(prompt, frame, output, slot === "hover"), milliseconds };
    });
  },

  /**
   * @param {{key: string, prompt: Prompt, tokens: number[]}} values tokens of the prompt's text
   * @returns {Promise<{segmentation: Segmentation, score: number}>} the best mask
   */
  text({ key, prompt, tokens }) {
    return inTurn(async () => {
      const { frame } = opened(key);
      const output = await model().decoder.predict(prompt, frame, tokens);
      const [best] = masksToShow(prompt, output.scores);
      return { segmentation: fullMask(frame, output, best).segmentation, score: output.scores[best] };
    });
  },

  /** @param {{index: number}} values index of the mask in the last click's prediction */
  async fullMask({ index }) {
    const prediction = predictions.get("click");
    if (!prediction) throw new Error("no mask has been predicted");
    return fullMask(prediction.frame, prediction.output, index);
  },

  /** @param {{segmentation: Segmentation | null, size: [number, number], stroke: Stroke}} values */
  async stroke({ segmentation, size, stroke }) {
    return paintedMask(segmentation, size, stroke);
  },

  /** @param {{segmentation: Segmentation}} values */
  async trace({ segmentation }) {
    return tracedMask(segmentation);
  },

  /**
   * @param {{key: string, options: EverythingOptions}} values
   * @param {Report} report
   * @param {number} id
   */
  async everything({ key, options }, report, id) {
    const { frame } = opened(key);
    // Clicks and hovers take their turns between points.
    const predict = (/** @type {Prompt} */ prompt) =>
      inTurn(async () => {
        opened(key);
        return model().decoder.predict(prompt, frame);
      });
    return generateMasks(predict, frame, options, async (done, total) => {
      report({ done, total });
      await nextMessage();
      return !cancelled.delete(id);
    });
  },

  /** @param {{call: number}} values */
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
  const own = turn.then(task).finally(() => waiting--);
  turn = own.catch(() => {});
  return own;
}

/**
 * @param {DecoderSessions} decoder
 * @param {number[]} shape of the features
 */
async function warmUp(decoder, shape) {
  // An image that is about to be opened has priority.
  await nextMessage(300);
  while (!decoder.isWarm) {
    // So has every call.
    await nextMessage(60);
    if (waiting === 0) await inTurn(() => decoder.warmUp(shape));
  }
}

/**
 * Yields to the event loop, so that messages are received: runs of a session block it.
 * @param {number} [milliseconds]
 */
function nextMessage(milliseconds = 0) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/**
 * Collects the buffers of a value, to be transferred rather than copied.
 * @param {any} value
 * @param {Transferable[]} buffers
 * @returns {Transferable[]}
 */
function buffersOf(value, buffers = []) {
  if (ArrayBuffer.isView(value)) {
    if (value.buffer instanceof ArrayBuffer && !buffers.includes(value.buffer)) buffers.push(value.buffer);
  } else if (value && typeof value === "object") {
    for (const part of Object.values(value)) buffersOf(part, buffers);
  }
  return buffers;
}

self.onmessage = async ({ data: { id, call, values } }) => {
  const report = (/** @type {Progress} */ progress) => self.postMessage({ id, progress });
  try {
    const value = await calls[/** @type {keyof Calls} */ (call)](values, report, id);
    self.postMessage({ id, value }, { transfer: buffersOf(value) });
  } catch (error) {
    self.postMessage({ id, error: error instanceof Error ? error.message : String(error) });
  }
};
