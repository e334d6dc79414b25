/**
 * The backend of the static demo, without a server: photos are samples or the visitor's,
 * the encoder runs in the page, masks are stored in the browser.
 */

import { LruCache } from "../core/lru_cache.js";
import { toCoco, toLabelPixels, toSa1b } from "../core/records.js";
import { areaOf, textToCounts } from "../core/run_lengths.js";
import { makeUuid } from "../core/uuid.js";
import { someWords, tokensOf } from "../core/words.js";
import { Refused } from "./backend.js";
import { DemoStorage } from "./demo_storage.js";

/** @typedef {import("./backend.js").Backend} Backend */
/** @typedef {import("./backend.js").Info} Info */
/** @typedef {import("./backend.js").ImageEntry} ImageEntry */
/** @typedef {import("./backend.js").Annotation} Annotation */
/** @typedef {import("../model/decoder_sessions.js").Features} Features */
/** @typedef {import("../model/worker_client.js").WorkerClient} WorkerClient */

/**
 * @typedef {object} DemoConfig
 * @property {Info["model"]} model
 * @property {import("../model/runtime.js").GraphFile} encoder
 * @property {Info["decoder"]} decoder
 * @property {import("../core/words.js").Vocabulary & {graph: import("../model/runtime.js").GraphFile}} [text] of models with text
 * @property {{url: string, name: string}[]} samples
 * @property {string} [samjax]
 */

// An embedding of 256 x 64 x 64 takes 4 MiB.
const MAX_EMBEDDINGS = 4;

/**
 * @param {DemoConfig} config
 * @param {URL} base of the config's relative URLs
 * @param {Pick<WorkerClient, "call">} client
 * @param {Pick<DemoStorage, "all" | "put" | "remove">} [storage]
 * @returns {Backend}
 */
export function demoBackend(config, base, client, storage = new DemoStorage()) {
  /** @type {Map<string, {entry: ImageEntry, photo: () => Promise<Blob>}>} */
  const images = new Map();
  /** @type {Map<string, Annotation>} */
  const annotations = new Map();
  /** @type {Map<string, Annotation>} */
  const removed = new Map();
  /** @type {LruCache<Features>} */
  const embeddings = new LruCache(MAX_EMBEDDINGS);
  /** Null until the encoder has run once. @type {number | null} */
  let lastSeconds = null;
  const absolute = (/** @type {string} */ url) => new URL(url, base).href;
  const file = (/** @type {import("../model/runtime.js").GraphFile} */ { url, bytes }) => ({ url: absolute(url), bytes });

  /**
   * @param {string} id
   * @param {string} name
   * @param {() => Promise<Blob>} photo
   */
  async function add(id, name, photo) {
    const bitmap = await createImageBitmap(await photo(), { imageOrientation: "from-image" }).catch(() => null);
    if (!bitmap) throw new Refused(422, `${name} cannot be read as an image by this browser.`);
    const { width, height } = bitmap;
    bitmap.close();
    /** @type {ImageEntry} */
    const entry = { id, name, width, height, annotations: countOf(id), embedded: false, problem: null };
    images.set(id, { entry, photo });
    return entry;
  }
  const countOf = (/** @type {string} */ id) => annotationsOf(id).length;
  const annotationsOf = (/** @type {string} */ id) => [...annotations.values()].filter(({ image_id }) => image_id === id);

  /** @param {Annotation} annotation */
  function put(annotation) {
    annotations.set(annotation.id, annotation);
    void storage.put("annotations", annotation);
    const image = images.get(annotation.image_id);
    if (image) image.entry.annotations = countOf(annotation.image_id);
    return structuredClone(annotation);
  }

  return {
    mode: "demo",
    tasks: null,
    regions: null,
    team: null,
    info: async () => ({
      samjax: config.samjax ?? "",
      folder: "demo",
      model: config.model,
      decoder: {
        prepare: file(config.decoder.prepare),
        prompt: file(config.decoder.prompt),
        ...(config.text && { text: file(config.text.graph) }),
      },
      encoder: file(config.encoder),
      labels: [],
    }),

    async images(onSome) {
      for (const annotation of await storage.all("annotations")) annotations.set(annotation.id, annotation);
      /** @type {Map<string, {name: string, photo: () => Promise<Blob>}>} */
      const photos = new Map();
      for (const { url, name } of config.samples) {
        photos.set(`sample-${url}`, { name, photo: async () => (await fetch(absolute(url))).blob() });
      }
      for (const { id, name, photo } of await storage.all("photos")) photos.set(id, { name, photo: async () => photo });
      if (!photos.size) onSome([], 0);
      for (const [id, { name, photo }] of photos) {
        const entry = images.get(id)?.entry ?? (await add(id, name, photo).catch(() => null));
        if (entry) onSome([entry], photos.size);
      }
    },

    async image(id) {
      const known = images.get(id);
      if (!known) throw new Refused(404, "There is no such image.");
      return known.entry;
    },

    thumbnail: async (image) => URL.createObjectURL(await /** @type {any} */ (images.get(image.id)).photo()),
    pixels: async (image) => /** @type {any} */ (images.get(image.id)).photo(),

    async upload(photo) {
      const id = `photo-${makeUuid()}`;
      const entry = await add(id, photo.name, async () => photo);
      void storage.put("photos", /** @type {any} */ ({ id, name: photo.name, photo }));
      return entry;
    },

    async features(image, onState) {
      let features = embeddings.get(image.id);
      if (!features) {
        onState({ state: "running", position: 0, seconds: 0, expected_seconds: lastSeconds, message: null });
        const photo = await /** @type {any} */ (images.get(image.id)).photo();
        const embedded = await client.call("embed", { photo, modelSize: config.model.image_size });
        features = embedded.features;
        lastSeconds = embedded.milliseconds / 1000;
        embeddings.set(image.id, features);
      }
      onState({ state: "ready", position: 0, seconds: 0, expected_seconds: null, message: null });
      return features;
    },

    // The one model of the page is needed for the image that is open.
    prefetch: async () => {},

    annotations: async (image, since) => ({
      revision: 0,
      annotations: since === null ? structuredClone(annotationsOf(image.id)) : [],
      deleted: [],
    }),

    create: async (imageId, annotation) =>
      put({
        ...annotation,
        id: annotation.uuid,
        image_id: imageId,
        revision: 1,
        area: areaOf(textToCounts(annotation.segmentation.counts)),
      }),

    async change(id, _revision, changes) {
      const annotation = annotations.get(id);
      if (!annotation) throw new Refused(404, "This mask does not exist any more.");
      return put({ ...annotation, ...changes, revision: annotation.revision + 1 });
    },

    async remove(id) {
      const annotation = annotations.get(id);
      if (!annotation) return;
      annotations.delete(id);
      removed.set(id, annotation);
      await storage.remove("annotations", id);
      const image = images.get(annotation.image_id);
      if (image) image.entry.annotations = countOf(annotation.image_id);
    },

    async restore(id) {
      const annotation = removed.get(id);
      if (!annotation) throw new Refused(404, "This mask does not exist any more.");
      removed.delete(id);
      return put({ ...annotation, revision: annotation.revision + 1 });
    },

    async everything(image, options, onProgress, signal) {
      const masks = await client.call("everything", { key: image.id, options }, ({ done, total }) => onProgress(done, total), signal);
      return masks && masks.map(({ segmentation, score, stabilityScore, point }) => ({ segmentation, score, stability: stabilityScore, point }));
    },

    async predict(image, prompt) {
      if (!config.text) throw new Refused(404, "This model has no text prompts.");
      const tokens = tokensOf(prompt.text ?? "", config.text);
      if (!tokens) throw new Refused(422, `The model knows no word of "${prompt.text}". Some of its words: ${someWords(config.text)}.`);
      const mask = await client.call("text", { key: image.id, prompt, tokens: tokens.ids });
      return [{ ...mask, note: noteOn(tokens) }];
    },

    async exportFile(format, image) {
      if (!image) throw new Refused(422, "Open an image to export its masks.");
      const masks = annotationsOf(image.id);
      const stem = image.name.replace(/\.[^.]*$/, "");
      if (format === "png") {
        return { url: URL.createObjectURL(await labelPng(image, masks)), name: `${stem}.masks.png` };
      }
      const content = format === "coco" ? toCoco(image, masks) : toSa1b(image, masks);
      const blob = new Blob([JSON.stringify(content)], { type: "application/json" });
      return { url: URL.createObjectURL(blob), name: `${stem}.${format}.json` };
    },
  };
}

/**
 * @param {import("../core/words.js").Tokens} tokens
 * @returns {string | undefined} what of a text the model did not read
 */
function noteOn({ unknown, left }) {
  const notes = [];
  if (unknown.length) notes.push(`The model has not learned: ${unknown.slice(0, 5).join(", ")}.`);
  if (left) notes.push(`The last ${left} ${left === 1 ? "word was" : "words were"} left out.`);
  return notes.join(" ") || undefined;
}

/**
 * @param {ImageEntry} image
 * @param {Annotation[]} annotations
 * @returns {Promise<Blob>}
 */
function labelPng(image, annotations) {
  const canvas = new OffscreenCanvas(image.width, image.height);
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const pixels = context.createImageData(image.width, image.height);
  pixels.data.set(toLabelPixels(image, annotations));
  context.putImageData(pixels, 0, 0);
  return canvas.convertToBlob({ type: "image/png" });
}
