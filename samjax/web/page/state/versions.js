/** The versions of the selected mask, for reviewers, and the outline of an earlier one. */

import { messageOf } from "./state.js";

/** @typedef {import("../io/backend.js").Version} Version */
/** @typedef {import("../io/backend.js").TeamBackend} TeamBackend */
/** @typedef {import("../model/worker_client.js").WorkerClient} WorkerClient */
/** @typedef {import("./state.js").PageStore} PageStore */

export class Versions {
  #store;
  #backend;
  #client;

  /**
   * @param {PageStore} store
   * @param {Pick<TeamBackend, "versions"> | null} backend null where the person may not see them
   * @param {Pick<WorkerClient, "call">} client
   */
  constructor(store, backend, client) {
    this.#store = store;
    this.#backend = backend;
    this.#client = client;
    let last = "";
    store.watch(["selected", "masks"], ({ selected, masks }) => {
      const mask = masks.find(({ uuid }) => uuid === selected);
      const key = mask ? `${mask.id} ${mask.revision}` : "";
      if (key === last) return;
      last = key;
      store.set({ versions: [], former: null });
      if (mask?.id) void this.#read(mask.id, () => last === key);
    });
  }

  /**
   * Shows the outline of a version, or hides it again.
   * @param {Version} version
   */
  async show({ revision, segmentation }) {
    if (this.#store.state.former?.revision === revision) {
      this.#store.set({ former: null });
      return;
    }
    const { selected } = this.#store.state;
    const { shape } = await this.#client.call("trace", { segmentation });
    if (this.#store.state.selected === selected) this.#store.set({ former: { revision, shape } });
  }

  /**
   * @param {string} id
   * @param {() => boolean} isWanted
   */
  async #read(id, isWanted) {
    if (!this.#backend) return;
    try {
      const versions = await this.#backend.versions(id);
      if (isWanted()) this.#store.set({ versions });
    } catch (error) {
      if (isWanted()) this.#store.emit("notice", { text: `The history was not read: ${messageOf(error)}`, kind: "problem" });
    }
  }
}
