/** The page's side of the worker: calls that return promises, and whose turn it is. */

import { LatestQueue } from "./latest_queue.js";

/** @typedef {import("./worker.js").Calls} Calls */
/** @typedef {import("./worker.js").Progress} Progress */
/** @typedef {import("../core/prompts.js").Prompt} Prompt */

/**
 * @template {keyof Calls} K
 * @typedef {Awaited<ReturnType<Calls[K]>>} Answer
 */

export class DecoderClient {
  #worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
  #queue = new LatestQueue();
  /** @type {Map<number, {resolve: (value: any) => void, reject: (error: Error) => void, onProgress: ((progress: Progress) => void) | undefined}>} */
  #open = new Map();
  #next = 1;

  constructor() {
    this.#worker.onmessage = ({ data: { id, value, error, progress } }) => {
      const call = this.#open.get(id);
      if (progress) {
        call?.onProgress?.(progress);
        return;
      }
      this.#open.delete(id);
      if (error !== undefined) call?.reject(new Error(error));
      else call?.resolve(value);
    };
    this.#worker.onerror = (event) => {
      const error = new Error(event.message || "The model's thread could not be started.");
      for (const { reject } of this.#open.values()) reject(error);
      this.#open.clear();
    };
  }

  /**
   * @template {keyof Calls} K
   * @param {K} call
   * @param {Parameters<Calls[K]>[0]} given
   * @param {(progress: Progress) => void} [onProgress]
   * @param {AbortSignal} [signal] cancels what can be cancelled
   * @returns {Promise<Answer<K>>}
   */
  call(call, given, onProgress, signal) {
    const id = this.#next++;
    signal?.addEventListener("abort", () => this.#worker.postMessage({ id: -1, call: "cancel", given: { call: id } }));
    return new Promise((resolve, reject) => {
      this.#open.set(id, { resolve, reject, onProgress });
      this.#worker.postMessage({ id, call, given });
    });
  }

  /**
   * The masks of a prompt that somebody gave.
   * @param {string} key of the image
   * @param {Prompt} prompt
   * @returns {Promise<Answer<"answer">>}
   */
  click(key, prompt) {
    this.#queue.dropPreview();
    return this.#queue.run(() => this.call("answer", { key, prompt, slot: "click" }));
  }

  /**
   * The masks of what the pointer is over, unless it moves on before its turn.
   * @param {string} key
   * @param {Prompt} prompt
   * @returns {Promise<Answer<"answer"> | null>}
   */
  hover(key, prompt) {
    return this.#queue.preview(() => this.call("answer", { key, prompt, slot: "hover" }));
  }
}
