/** What everything mode found, until it is accepted or thrown away. */

import { announce, messageOf, notify } from "../ui/notices.js";
import { covers, textToCounts } from "../core/run_lengths.js";

/** @typedef {import("../io/backend.js").Backend} Backend */
/** @typedef {import("../io/backend.js").ImageEntry} ImageEntry */
/** @typedef {import("../core/frame.js").Point} Point */
/** @typedef {import("../core/postprocessing.js").KeptMask} KeptMask */
/** @typedef {import("../model/everything.js").EverythingOptions} EverythingOptions */

/**
 * @typedef {object} FoundMask
 * @property {string} key
 * @property {KeptMask} kept
 * @property {number[]} counts
 * @property {number} score
 * @property {number | null} stability
 * @property {Point | null} point
 */

export class Found {
  /** @type {FoundMask[]} the largest first, so that small ones are drawn over them */
  masks = [];
  /** @type {string | null} key */
  pointed = null;
  /** @type {import("../ui/everything_panel.js").EverythingState["progress"]} */
  #progress = null;
  #hasRun = false;
  #abort = new AbortController();
  #backend;
  #client;
  #onChange;

  /**
   * @param {Backend} backend
   * @param {import("../model/worker_client.js").DecoderClient} client
   * @param {() => void} onChange
   */
  constructor(backend, client, onChange) {
    this.#backend = backend;
    this.#client = client;
    this.#onChange = onChange;
  }

  /** @returns {import("../ui/everything_panel.js").EverythingState} */
  get state() {
    return { progress: this.#progress, found: this.masks.length, hasRun: this.#hasRun };
  }

  /**
   * @param {ImageEntry} image
   * @param {EverythingOptions} options
   */
  async start(image, options) {
    this.clear();
    this.#abort = new AbortController();
    const { signal } = this.#abort;
    this.#progress = { done: 0, total: 0 };
    this.#onChange();
    const report = (/** @type {number} */ done, /** @type {number} */ total) => {
      if (signal.aborted) return;
      this.#progress = { done, total };
      this.#onChange();
    };
    try {
      const records = await this.#backend.everything(image, options, report, signal);
      if (!records || signal.aborted) return;
      const masks = await Promise.all(
        records.map(async ({ segmentation, score, stability, point }, i) => {
          const kept = await this.#client.call("draw", { segmentation });
          return { key: `found-${i}`, kept, counts: textToCounts(segmentation.counts), score, stability, point };
        }),
      );
      if (signal.aborted) return;
      this.masks = masks.sort((a, b) => b.kept.area - a.kept.area);
      this.#hasRun = true;
      announce(`${masks.length} masks found.`);
    } catch (error) {
      if (!signal.aborted) notify(messageOf(error), { kind: "problem" });
    } finally {
      if (this.#abort.signal === signal) this.#progress = null;
      this.#onChange();
    }
  }

  cancel() {
    this.#abort.abort();
    this.#progress = null;
    this.#onChange();
  }

  clear() {
    this.masks = [];
    this.pointed = null;
    this.#hasRun = false;
    this.#onChange();
  }

  /** @returns {FoundMask[]} all, which are then no longer here */
  take() {
    const { masks } = this;
    this.clear();
    return masks;
  }

  /** @param {string} key */
  drop(key) {
    this.masks = this.masks.filter((mask) => mask.key !== key);
    this.#onChange();
  }

  /**
   * @param {Point} point
   * @returns {FoundMask | undefined} the smallest that covers it
   */
  at(point) {
    return this.masks.findLast(({ counts, kept }) => covers(counts, kept.segmentation.size, point));
  }

  /**
   * @param {Point | null} point
   * @returns {boolean} whether another one is pointed at now
   */
  pointAt(point) {
    const key = (point && this.at(point)?.key) ?? null;
    const isOther = key !== this.pointed;
    this.pointed = key;
    return isOther;
  }
}
