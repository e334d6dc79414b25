/** Mask proposals of everything mode, until they are accepted or discarded. */

import { covers, textToCounts } from "../core/run_lengths.js";
import { messageOf } from "./state.js";

/** @typedef {import("../io/backend.js").Backend} Backend */
/** @typedef {import("../core/frame.js").Point} Point */
/** @typedef {import("../core/postprocessing.js").FullMask} FullMask */
/** @typedef {import("../model/everything.js").EverythingOptions} EverythingOptions */
/** @typedef {import("../model/worker_client.js").WorkerClient} WorkerClient */
/** @typedef {import("./state.js").PageStore} PageStore */

/**
 * @typedef {object} Proposal
 * @property {string} key
 * @property {FullMask} mask
 * @property {number[]} counts decoded once, for hit tests
 * @property {number} score
 * @property {number | null} stability
 * @property {Point | null} point of the grid
 */

const NONE = Object.freeze({ proposals: [], highlighted: null, hasSearched: false });

export class Proposals {
  #abort = new AbortController();
  #store;
  #backend;
  #client;

  /**
   * @param {PageStore} store
   * @param {Pick<Backend, "everything">} backend
   * @param {Pick<WorkerClient, "call">} client
   */
  constructor(store, backend, client) {
    this.#store = store;
    this.#backend = backend;
    this.#client = client;
    store.watch(["image"], () => {
      this.cancel();
      this.clear();
    });
  }

  /** @param {EverythingOptions} options */
  async start(options) {
    const { image } = this.#store.state;
    if (!image) return;
    this.clear();
    this.#abort = new AbortController();
    const { signal } = this.#abort;
    this.#store.set({ searching: { done: 0, total: 0 } });
    const report = (/** @type {number} */ done, /** @type {number} */ total) => {
      if (!signal.aborted) this.#store.set({ searching: { done, total } });
    };
    try {
      const records = await this.#backend.everything(image, options, report, signal);
      if (!records || signal.aborted) return;
      const proposals = await Promise.all(
        records.map(async ({ segmentation, score, stability, point }, i) => {
          const mask = await this.#client.call("trace", { segmentation });
          return { key: `proposal-${i}`, mask, counts: textToCounts(segmentation.counts), score, stability, point };
        }),
      );
      if (signal.aborted) return;
      // The largest first: small ones are drawn over them.
      proposals.sort((a, b) => b.mask.area - a.mask.area);
      this.#store.set({ proposals, hasSearched: true });
      this.#store.emit("announcement", `${proposals.length} masks found.`);
    } catch (error) {
      if (!signal.aborted) this.#store.emit("notice", { text: messageOf(error), kind: "problem" });
    } finally {
      if (this.#abort.signal === signal) this.#store.set({ searching: null });
    }
  }

  cancel() {
    this.#abort.abort();
    this.#store.set({ searching: null });
  }

  clear() {
    this.#store.set(NONE);
  }

  /** @returns {readonly Proposal[]} all of them, which are removed from here */
  takeAll() {
    const { proposals } = this.#store.state;
    this.clear();
    return proposals;
  }

  /**
   * @param {Point} point
   * @returns {Proposal | null} the smallest at the point, which is removed from here
   */
  takeAt(point) {
    const proposal = this.#at(point);
    if (proposal) this.#store.set({ proposals: this.#store.state.proposals.filter((other) => other !== proposal) });
    return proposal;
  }

  /** @param {Point | null} point that the pointer is at */
  highlight(point) {
    this.#store.set({ highlighted: (point && this.#at(point)?.key) ?? null });
  }

  /** @param {Point} point */
  #at(point) {
    return this.#store.state.proposals.findLast(({ counts, mask }) => covers(counts, mask.segmentation.size, point)) ?? null;
  }
}
