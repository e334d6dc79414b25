/** The page's end of the worker: calls that return promises, and their order. */

import { LatestQueue } from "./latest_queue.js";

/** @typedef {import("./worker.js").Calls} Calls */
/** @typedef {import("./worker.js").Progress} Progress */
/** @typedef {import("../core/prompts.js").Prompt} Prompt */

/**
 * @template {keyof Calls} K
 * @typedef {Awaited<ReturnType<Calls[K]>>} Result
 */

export class WorkerClient {
  #worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
  #queue = new LatestQueue();
  /** @type {Map<number, {resolve: (value: any) => void, reject: (error: Error) => void, onProgress: ((progress: Progress) => void) | undefined}>} */
  #calls = new Map();
  #next = 1;

  constructor() {
    this.#worker.onmessage = ({ data: { id, value, error, progress } }) => {
      const call = this.#calls.get(id);
      if (progress) {
        call?.onProgress?.(progress);
        return;
      }
      this.#calls.delete(id);
      if (error !== undefined) call?.reject(new Error(error));
      else call?.resolve(value);
    };
    this.#worker.onerror = (event) => {
      const error = new Error(event.message || "The model's worker could not be started.");
      for (const { reject } of this.#calls.values()) reject(error);
      this.#calls.clear();
    };
  }

  /**
   * @template {keyof Calls} K
   * @param {K} call
   * @param {Parameters<Calls[K]>[0]} values
   * @param {(progress: Progress) => void} [onProgress]
   * @param {AbortSignal} [signal] cancels the calls that can be cancelled
   * @returns {Promise<Result<K>>}
   */
  call(call, values, onProgress, signal) {
    const id = this.#next++;
    signal?.addEventListener("abort", () => this.#worker.postMessage({ id: -1, call: "cancel", values: { call: id } }));
    return new Promise((resolve, reject) => {
      this.#calls.set(id, { resolve, reject, onProgress });
      this.#worker.postMessage({ id, call, values });
    });
  }

  /**
   * Predicts the masks of a session's prompt.
   * @param {string} key of the image
   * @param {Prompt} prompt
   * @returns {Promise<Result<"predict">>}
   */
  click(key, prompt) {
    this.#queue.dropPreview();
    return this.#queue.run(() => this.call("predict", { key, prompt, slot: "click" }));
  }

  /**
   * Predicts the mask under the pointer, unless the pointer moves before its turn.
   * @param {string} key of the image
   * @param {Prompt} prompt
   * @returns {Promise<Result<"predict"> | null>}
   */
  hover(key, prompt) {
    return this.#queue.preview(() => this.call("predict", { key, prompt, slot: "hover" }));
  }
}
