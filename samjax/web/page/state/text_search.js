/** Text prompts, which the server predicts, or in the demo the page: one at a time. */

import { messageOf } from "./state.js";

/** @typedef {import("../io/backend.js").Backend} Backend */
/** @typedef {import("../model/worker_client.js").WorkerClient} WorkerClient */
/** @typedef {import("./editor.js").Editor} Editor */
/** @typedef {import("./state.js").PageStore} PageStore */

export class TextSearch {
  #store;
  #backend;
  #client;
  #editor;
  /** @type {{text: string} | null} the search that is on its way, or waits for the image */
  #current = null;
  /** @type {() => void} */
  #goOn = () => {};

  /**
   * @param {PageStore} store
   * @param {{backend: Pick<Backend, "predict">, client: Pick<WorkerClient, "call">, editor: Pick<Editor, "start">}} parts
   */
  constructor(store, { backend, client, editor }) {
    this.#store = store;
    this.#backend = backend;
    this.#client = client;
    this.#editor = editor;
    store.watch(["image"], () => this.#become(null));
    store.watch(["isReady", "phase"], () => this.#goOn());
  }

  /**
   * Predicts the mask of a text on the open image, when its embedding is there. The same text
   * again is ignored while it is on its way; another one takes its place.
   * @param {string} text
   * @returns {Promise<boolean>} whether its mask became that of the session
   */
  async find(text) {
    const { image } = this.#store.state;
    if (!image || text === this.#current?.text) return false;
    if (!text) {
      this.#store.emit("notice", { text: "Write what to find, such as “a cup”." });
      return false;
    }
    const search = { text };
    this.#become(search);
    try {
      if (!this.#store.state.isReady) await this.#untilReady();
      if (this.#current !== search) return false;
      const { session } = this.#store.state;
      const prompt = { ...session.prompt, text };
      const [best] = await this.#backend.predict(image, prompt);
      const mask = best && (await this.#client.call("trace", { segmentation: best.segmentation }));
      // Who clicked meanwhile has gone on.
      if (this.#current !== search || this.#store.state.session !== session) return false;
      if (best?.note) this.#store.emit("notice", { text: best.note });
      if (!mask?.area) {
        this.#store.emit("notice", { text: `Nothing was found for “${text}”.` });
        return false;
      }
      this.#editor.start(mask, { source: "text", score: best.score, prompt }, "the text");
      return true;
    } catch (error) {
      if (this.#current === search) this.#store.emit("notice", { text: messageOf(error), kind: "problem" });
      return false;
    } finally {
      if (this.#current === search) this.#become(null);
    }
  }

  /** @param {{text: string} | null} search that takes the place of the current one */
  #become(search) {
    this.#current = search;
    this.#store.set({ isFinding: search !== null });
    this.#goOn();
  }

  /** Resolves when the image is ready, its opening has failed, or another search has begun. */
  async #untilReady() {
    const search = this.#current;
    const isWaiting = () => this.#current === search && !this.#store.state.isReady && this.#store.state.phase !== "error";
    if (isWaiting()) this.#store.emit("announcement", "The text is searched when the image is ready.");
    while (isWaiting()) await new Promise((resolve) => (this.#goOn = () => resolve(null)));
    if (this.#current === search && !this.#store.state.isReady) throw new Error("The image could not be opened: try it again.");
  }
}
