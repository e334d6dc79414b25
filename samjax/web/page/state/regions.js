/**
 * Regions of the open image that are to be blurred: drawn and removed, which is undone.
 * They are sent through the outbox, which keeps them where the server is away.
 */

import { makeUuid } from "../core/uuid.js";
import { isOfRegion } from "../io/outbox.js";
import { messageOf } from "./state.js";

/** @typedef {import("../core/frame.js").Box} Box */
/** @typedef {import("../io/backend.js").Region} Region */
/** @typedef {import("../io/backend.js").RegionBackend} RegionBackend */
/** @typedef {import("../io/outbox.js").Outbox} Outbox */
/** @typedef {import("../io/outbox.js").PendingEdit} PendingEdit */
/** @typedef {import("./state.js").PageStore} PageStore */

export class Regions {
  #store;
  #backend;
  #history;
  #outbox;
  /** Edits of the open image's regions that the server's list may lack. @type {PendingEdit[]} */
  #edits = [];

  /**
   * @param {PageStore} store
   * @param {Pick<RegionBackend, "list"> | null} backend null where there is no server
   * @param {import("./history.js").History} history
   * @param {Pick<Outbox, "ofRegions">} outbox
   */
  constructor(store, backend, history, outbox) {
    this.#store = store;
    this.#backend = backend;
    this.#history = history;
    this.#outbox = outbox;
    store.watch(["image"], () => void this.refresh());
    store.on("refused", ({ edit }) => {
      // What is shown must be what is stored: who blurs relies on it.
      if (isOfRegion(edit) && edit.imageId === store.state.image?.id) void this.refresh();
    });
  }

  /** Reads the regions of the open image. */
  async refresh() {
    const { image } = this.#store.state;
    this.#edits = image ? this.#outbox.ofRegions(image.id) : [];
    this.#show([]);
    if (!image || !this.#backend) return;
    try {
      const regions = await this.#backend.list(image.id);
      if (this.#store.state.image === image) this.#show(regions);
    } catch (error) {
      const action = { name: "Try again", run: () => void (this.#store.state.image === image && this.refresh()) };
      this.#store.emit("notice", { text: `Regions were not read: ${messageOf(error)}`, kind: "problem", action });
    }
  }

  /** @param {Box} box */
  add(box) {
    const region = { uuid: makeUuid(), box };
    const { image } = this.#store.state;
    if (!image) return;
    const add = () => this.#put(image.id, region);
    this.#history.push({ name: "a region", undo: () => this.#drop(image.id, region.uuid), redo: add });
    add();
  }

  /** @param {string} uuid */
  remove(uuid) {
    const { image, regions } = this.#store.state;
    const region = regions.find((other) => other.uuid === uuid);
    if (!image || !region) return;
    this.#history.push({ name: "removing a region", undo: () => this.#put(image.id, region), redo: () => this.#drop(image.id, uuid) });
    this.#drop(image.id, uuid);
  }

  /**
   * @param {string} imageId
   * @param {Region} region
   */
  #put(imageId, { uuid, box }) {
    this.#edit("addRegion", imageId, uuid, { box, author: this.#store.state.person });
  }

  /**
   * @param {string} imageId
   * @param {string} uuid
   */
  #drop(imageId, uuid) {
    this.#edit("removeRegion", imageId, uuid, {});
  }

  /**
   * @param {"addRegion" | "removeRegion"} kind
   * @param {string} imageId
   * @param {string} uuid
   * @param {PendingEdit["body"]} body
   */
  #edit(kind, imageId, uuid, body) {
    const edit = { kind, imageId, uuid, id: null, revision: 0, body };
    // An undo may come after another image was opened.
    if (imageId === this.#store.state.image?.id) {
      this.#edits.push(edit);
      this.#show(this.#store.state.regions);
    }
    if (this.#backend) this.#store.emit("edit", edit);
  }

  /** @param {readonly Region[]} stored */
  #show(stored) {
    let regions = [...stored];
    for (const { kind, uuid, body } of this.#edits) {
      const isThere = regions.some((region) => region.uuid === uuid);
      if (kind === "removeRegion") regions = regions.filter((region) => region.uuid !== uuid);
      else if (!isThere && body.box) regions.push({ uuid, box: body.box });
    }
    this.#store.set({ regions });
  }
}
