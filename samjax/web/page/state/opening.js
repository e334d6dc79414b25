/** Opens an image: its pixels, its embedding, and what is said while that takes time. */

import { announce, messageOf } from "../ui/notices.js";
import { byId } from "../ui/dom.js";

/** @typedef {import("../io/backend.js").Backend} Backend */
/** @typedef {import("../io/backend.js").ImageEntry} ImageEntry */
/** @typedef {import("../io/backend.js").EmbeddingState} EmbeddingState */
/** @typedef {import("../model/worker_client.js").DecoderClient} DecoderClient */

/** @typedef {"loading" | "embedding" | "ready" | "error"} PageState */

/** @param {PageState} state for whoever waits for it, tests first */
export function setPageState(state) {
  document.documentElement.dataset.state = state;
}

/** The model's files on their way to the worker; one for all images. */
export class ModelLoading {
  /** @type {Promise<{threads: number}> | null} */
  #loading = null;
  #start;
  progress = { done: 0, total: 0 };
  /** @type {() => void} */
  onProgress = () => {};

  /**
   * @param {DecoderClient} client
   * @param {import("../io/backend.js").Info} info
   */
  constructor(client, { decoder, encoder, model }) {
    // `?threads=1` is for who measures.
    const threads = Number(new URLSearchParams(location.search).get("threads")) || Infinity;
    const files = { ...decoder, encoder: encoder ?? null, shape: [1, model.channels, ...model.grid], threads };
    this.#start = async () => {
      const loaded = await client.call("load", files, (progress) => {
        this.progress = progress;
        this.onProgress();
      });
      document.documentElement.dataset.threads = String(loaded.threads);
      return loaded;
    };
  }

  /** @returns {Promise<{threads: number}>} tried again where it failed before */
  whenLoaded() {
    this.#loading ??= this.#start().catch((error) => {
      this.#loading = null;
      throw error;
    });
    return this.#loading;
  }
}

export class Opening {
  #backend;
  #client;
  #model;
  #modelSize;
  #abort = new AbortController();

  /**
   * @param {Backend} backend
   * @param {DecoderClient} client
   * @param {ModelLoading} model
   * @param {number} modelSize
   */
  constructor(backend, client, model, modelSize) {
    this.#backend = backend;
    this.#client = client;
    this.#model = model;
    this.#modelSize = modelSize;
  }

  /** Stops what is under way. */
  stop() {
    this.#abort.abort(new DOMException("another image was opened", "AbortError"));
    this.#abort = new AbortController();
    byId("waiting").hidden = true;
  }

  /**
   * @param {ImageEntry} image
   * @returns {Promise<ImageBitmap>}
   */
  async pixels(image) {
    return createImageBitmap(await this.#backend.pixels(image), { imageOrientation: "from-image" });
  }

  /**
   * Brings an image to the decoder. Where that fails, it says so and offers to try again.
   * @param {ImageEntry} image
   * @returns {Promise<boolean>} false where it was stopped or failed
   */
  async prepare(image) {
    const { signal } = this.#abort;
    setPageState("embedding");
    this.#say("Loading the model…", null);
    this.#model.onProgress = () => {
      const { done, total } = this.#model.progress;
      if (!signal.aborted && done < total) this.#say("Loading the model…", done / total);
    };
    try {
      const embed = () => this.#backend.features(image, (state) => signal.aborted || this.#sayState(state), signal);
      // A page that embeds needs its model for that.
      const features = this.#backend.mode === "demo" ? this.#model.whenLoaded().then(embed) : embed();
      const [found] = await Promise.all([features, this.#model.whenLoaded()]);
      if (signal.aborted) return false;
      this.#say("Preparing the decoder…", null);
      await this.#client.call("open", {
        key: image.id,
        size: [image.height, image.width],
        modelSize: this.#modelSize,
        features: found,
      });
      if (signal.aborted) return false;
      byId("waiting").hidden = true;
      setPageState("ready");
      announce("Ready.");
      return true;
    } catch (error) {
      if (signal.aborted) return false;
      this.#fail(messageOf(error), image);
      return false;
    }
  }

  /** Is called once somebody asks to try again. @type {(image: ImageEntry) => void} */
  onAgain = () => {};

  /**
   * @param {string} message
   * @param {ImageEntry} image
   */
  #fail(message, image) {
    setPageState("error");
    byId("waiting").hidden = false;
    byId("waiting").classList.add("failed");
    byId("waiting-text").textContent = message;
    byId("waiting-bar").hidden = true;
    const again = byId("waiting-again");
    again.hidden = false;
    again.onclick = () => this.onAgain(image);
    announce(message);
  }

  /** @param {EmbeddingState} state */
  #sayState({ state, position, seconds, expected_seconds: expected }) {
    if (state === "ready") return;
    if (state === "queued" && position > 0) {
      this.#say(`Waiting: ${position} ${position === 1 ? "image is" : "images are"} before this one`, null);
      return;
    }
    const share = expected ? Math.min(0.98, seconds / expected) : null;
    const left = expected ? Math.ceil(expected - seconds) : 0;
    this.#say(left > 0 ? `Embedding the image: about ${left} s` : "Embedding the image…", share);
  }

  /**
   * @param {string} text
   * @param {number | null} share
   */
  #say(text, share) {
    byId("waiting").hidden = false;
    byId("waiting").classList.remove("failed");
    byId("waiting-text").textContent = text;
    byId("waiting-again").hidden = true;
    const bar = /** @type {HTMLProgressElement} */ (byId("waiting-bar"));
    bar.hidden = false;
    if (share === null) bar.removeAttribute("value");
    else bar.value = share;
  }
}
