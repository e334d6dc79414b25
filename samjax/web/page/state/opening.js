/** Opens an image: its embedding is fetched or computed, and handed to the decoder. */

import { messageOf } from "./state.js";

/** @typedef {import("../io/backend.js").Backend} Backend */
/** @typedef {import("../io/backend.js").ImageEntry} ImageEntry */
/** @typedef {import("../io/backend.js").EmbeddingState} EmbeddingState */
/** @typedef {import("../model/model_loading.js").ModelLoading} ModelLoading */
/** @typedef {import("../model/worker_client.js").WorkerClient} WorkerClient */
/** @typedef {import("./state.js").PageStore} PageStore */

export class Opening {
  #store;
  #backend;
  #client;
  #model;
  #modelSize;
  #abort = new AbortController();

  /**
   * @param {PageStore} store
   * @param {Backend} backend
   * @param {Pick<WorkerClient, "call">} client
   * @param {Pick<ModelLoading, "whenLoaded" | "progress" | "onProgress">} model
   * @param {number} modelSize side of the model's square input
   */
  constructor(store, backend, client, model, modelSize) {
    this.#store = store;
    this.#backend = backend;
    this.#client = client;
    this.#model = model;
    this.#modelSize = modelSize;
    store.watch(["image"], ({ image }) => {
      this.#abort.abort(new DOMException("another image was opened", "AbortError"));
      if (image) void this.open();
      else store.set({ progress: null, phase: "ready" });
    });
  }

  /** Opens the image of the store; again where it failed before. */
  async open() {
    const { image } = this.#store.state;
    if (!image) return;
    this.#abort = new AbortController();
    const { signal } = this.#abort;
    this.#store.set({ phase: "embedding", isReady: false });
    this.#show("Loading the model…", null);
    this.#model.onProgress = () => {
      const { done, total } = this.#model.progress;
      if (!signal.aborted && done < total) this.#show("Loading the model…", done / total);
    };
    try {
      const embed = () => this.#backend.features(image, (state) => signal.aborted || this.#showEmbedding(state), signal);
      // In the demo the encoder is one of the model's files.
      const embedded = this.#backend.mode === "demo" ? this.#model.whenLoaded().then(embed) : embed();
      const [features] = await Promise.all([embedded, this.#model.whenLoaded()]);
      if (signal.aborted) return;
      this.#show("Preparing the decoder…", null);
      const size = /** @type {[number, number]} */ ([image.height, image.width]);
      await this.#client.call("open", { key: image.id, size, modelSize: this.#modelSize, features });
      if (signal.aborted) return;
      image.embedded = true;
      this.#store.set({ progress: null, phase: "ready", isReady: true });
      this.#store.emit("announcement", "Ready.");
    } catch (error) {
      if (signal.aborted) return;
      const text = messageOf(error);
      this.#store.set({ progress: { text, share: null, isFailed: true }, phase: "error" });
      this.#store.emit("announcement", text);
    }
  }

  /** @param {EmbeddingState} state */
  #showEmbedding({ state, position, seconds, expected_seconds: expected }) {
    if (state === "ready") return;
    if (state === "queued" && position > 0) {
      this.#show(`Queued: ${position} ${position === 1 ? "image is" : "images are"} before this one`, null);
      return;
    }
    const share = expected ? Math.min(0.98, seconds / expected) : null;
    const left = expected ? Math.ceil(expected - seconds) : 0;
    this.#show(left > 0 ? `Embedding the image: about ${left} s` : "Embedding the image…", share);
  }

  /**
   * @param {string} text
   * @param {number | null} share
   */
  #show(text, share) {
    this.#store.set({ progress: { text, share, isFailed: false } });
  }
}
