/** Has the worker outline and measure masks that came as run lengths alone. */

import { messageOf } from "./state.js";

/** @typedef {import("../model/worker_client.js").WorkerClient} WorkerClient */
/** @typedef {import("./mask_list.js").MaskList} MaskList */
/** @typedef {import("./state.js").PageStore} PageStore */

/**
 * @param {PageStore} store
 * @param {Pick<WorkerClient, "call">} client
 * @param {MaskList} masks
 */
export function traceMasks(store, client, masks) {
  /** Counts that were sent to the worker, by uuid. @type {Map<string, string>} */
  const requested = new Map();
  store.watch(["image"], () => requested.clear());
  store.watch(["masks"], (state) => {
    for (const { uuid, segmentation, traced } of state.masks) {
      if (traced === segmentation.counts || requested.get(uuid) === segmentation.counts) continue;
      requested.set(uuid, segmentation.counts);
      client.call("trace", { segmentation }).then(
        (mask) => masks.trace(uuid, mask),
        (error) => store.emit("notice", { text: `A mask could not be drawn: ${messageOf(error)}`, kind: "problem" }),
      );
    }
  });
}
