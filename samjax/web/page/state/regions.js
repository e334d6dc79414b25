/** Regions of the open image that are to be blurred: drawn and removed, which is undone. */

import { makeUuid } from "../core/uuid.js";
import { messageOf } from "./state.js";

/** @typedef {import("../core/frame.js").Box} Box */
/** @typedef {import("../io/backend.js").RegionBackend} RegionBackend */
/** @typedef {import("./state.js").PageStore} PageStore */

export class Regions {
  #store;
  #backend;
  #history;

  /**
   * @param {PageStore} store
   * @param {RegionBackend | null} backend null where there is no server
   * @param {import("./history.js").History} history
   */
  constructor(store, backend, history) {
    this.#store = store;
    this.#backend = backend;
    this.#history = history;
    store.watch(["image"], () => void this.refresh());
  }

  /** Reads the regions of the open image. */
  async refresh() {
    const { image } = this.#store.state;
    this.#store.set({ regions: [] });
    if (!image || !this.#backend) return;
    await this.#send(async (backend) => {
      const regions = await backend.list(image.id);
      if (this.#store.state.image === image) this.#store.set({ regions });
    });
  }

  /** @param {Box} box */
  add(box) {
    const region = { uuid: makeUuid(), box };
    const { image } = this.#store.state;
    if (!image) return;
    const add = () => this.#put(image.id, region);
    this.#history.push({ name: "a region", undo: () => this.#drop(region.uuid), redo: add });
    add();
  }

  /** @param {string} uuid */
  remove(uuid) {
    const { image, regions } = this.#store.state;
    const region = regions.find((other) => other.uuid === uuid);
    if (!image || !region) return;
    this.#history.push({ name: "removing a region", undo: () => this.#put(image.id, region), redo: () => this.#drop(uuid) });
    this.#drop(uuid);
  }

  /**
   * @param {string} imageId
   * @param {import("../io/backend.js").Region} region
   */
  #put(imageId, region) {
    this.#store.set({ regions: [...this.#store.state.regions, region] });
    void this.#send((backend) => backend.add(imageId, region, this.#store.state.person));
  }

  /** @param {string} uuid */
  #drop(uuid) {
    this.#store.set({ regions: this.#store.state.regions.filter((other) => other.uuid !== uuid) });
    void this.#send((backend) => backend.remove(uuid));
  }

  /** @param {(backend: RegionBackend) => Promise<void>} send */
  async #send(send) {
    if (!this.#backend) return;
    const { image } = this.#store.state;
    try {
      await send(this.#backend);
    } catch (error) {
      // What is shown must be what is stored: who blurs relies on it.
      const action = { name: "Read them again", run: () => void (this.#store.state.image === image && this.refresh()) };
      this.#store.emit("notice", { text: `Regions were not stored or read: ${messageOf(error)}`, kind: "problem", action });
    }
  }
}
