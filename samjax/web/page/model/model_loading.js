/** Loads the model's files into the worker, once for all images. */

/** @typedef {import("./worker_client.js").WorkerClient} WorkerClient */

export class ModelLoading {
  /** @type {Promise<{threads: number}> | null} */
  #loading = null;
  #start;
  progress = { done: 0, total: 0 };
  /** @type {() => void} */
  onProgress = () => {};

  /**
   * @param {WorkerClient} client
   * @param {import("../io/backend.js").Info} info
   * @param {number} maxThreads
   */
  constructor(client, { decoder, encoder, model }, maxThreads) {
    const files = { ...decoder, encoder: encoder ?? null, shape: [1, model.channels, ...model.grid], threads: maxThreads };
    this.#start = () =>
      client.call("load", files, (progress) => {
        this.progress = progress;
        this.onProgress();
      });
  }

  /** @returns {Promise<{threads: number}>} loads again where loading failed before */
  whenLoaded() {
    this.#loading ??= this.#start().catch((error) => {
      this.#loading = null;
      throw error;
    });
    return this.#loading;
  }
}
