/**
 * The mask decoder in the browser: the worker of a page that `samjax export --demo` wrote,
 * loaded from wherever that is served. Embeddings come from the kernel.
 */

import { readSafetensors } from "../../web/page/core/safetensors.js";
import { WorkerClient } from "../../web/page/model/worker_client.js";

/** @typedef {import("../../web/page/core/postprocessing.js").PreviewMask} PreviewMask */
/** @typedef {import("../../web/page/core/prompts.js").Prompt} Prompt */
/** @typedef {import("../../web/page/io/demo_backend.js").DemoConfig} DemoConfig */
/** @typedef {import("../../web/page/model/runtime.js").GraphFile} GraphFile */
/** @typedef {import("./clicker.js").Model} Model */

/**
 * @typedef {object} Embedding
 * @property {ArrayBuffer} content a file of `ImageEmbedding`, channels first
 * @property {string} weights fingerprint of the model
 */

const IMAGE = "image";
// More gain nothing for a decoder of this size.
const THREADS = 4;

export class BrowserDecoder {
  #client;

  /** @param {WorkerClient} client with the image open */
  constructor(client) {
    this.#client = client;
  }

  /**
   * @param {string} url of the page's folder
   * @param {Model} model of the widget
   * @returns {Promise<BrowserDecoder>}
   */
  static async load(url, model) {
    const base = new URL(url.endsWith("/") ? url : `${url}/`, document.baseURI);
    const config = await fetchConfig(base);
    const { content, weights } = await askForEmbedding(model);
    if (config.weights !== weights) {
      throw new Error(`${base.href} has a decoder of other weights: export the demo again, with this model`);
    }
    const client = new WorkerClient(startWorker(new URL("page/model/worker.js", base)));
    const file = (/** @type {GraphFile} */ { url: path, bytes }) => ({ url: new URL(path, base).href, bytes });
    const { model: sizes, decoder } = config;
    await client.call("load", {
      prepare: file(decoder.prepare),
      prompt: file(decoder.prompt),
      encoder: null,
      shape: [1, sizes.channels, ...sizes.grid],
      threads: THREADS,
    });
    const features = readSafetensors(content).tensors.features;
    await client.call("open", { key: IMAGE, size: model.get("_size"), modelSize: sizes.image_size, features });
    return new BrowserDecoder(client);
  }

  /**
   * @param {Prompt} prompt
   * @returns {Promise<PreviewMask[]>} by descending score
   */
  async predict(prompt) {
    return (await this.#client.click(IMAGE, prompt)).masks;
  }

  close() {
    this.#client.close();
  }
}

/**
 * By a message rather than with the state, which notebooks save.
 * @param {Model} model
 * @returns {Promise<Embedding>}
 */
function askForEmbedding(model) {
  return new Promise((resolve) => {
    const listener = (/** @type {any} */ { embedding }, /** @type {DataView<ArrayBuffer>[]} */ [content]) => {
      if (!embedding) return;
      model.off("msg:custom", listener);
      const { buffer, byteOffset, byteLength } = content;
      resolve({ content: buffer.slice(byteOffset, byteOffset + byteLength), weights: embedding.weights });
    };
    model.on("msg:custom", listener);
    model.send({ wants: "embedding" });
  });
}

/**
 * @param {URL} base
 * @returns {Promise<DemoConfig & {weights?: string}>}
 */
async function fetchConfig(base) {
  const url = new URL("config.json", base);
  const response = await fetch(url).catch(() => null);
  if (!response?.ok) {
    throw new Error(`${url.href} cannot be loaded: expected the folder of samjax export --demo, from this host or one that sends Access-Control-Allow-Origin`);
  }
  return response.json();
}

/**
 * Workers of another origin are refused, while their modules may be imported.
 * @param {URL} url
 * @returns {Worker}
 */
function startWorker(url) {
  const source = new Blob([`import ${JSON.stringify(url.href)};`], { type: "text/javascript" });
  return new Worker(URL.createObjectURL(source), { type: "module" });
}
