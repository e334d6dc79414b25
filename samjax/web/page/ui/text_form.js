/** The form for text prompts, which the server predicts, or in the demo the page. */

import { messageOf } from "../state/state.js";
import { byId } from "./dom.js";

/** @typedef {import("../state/state.js").PageStore} PageStore */

/**
 * @param {PageStore} store
 * @param {{backend: Pick<import("../io/backend.js").Backend, "predict">, client: Pick<import("../model/worker_client.js").WorkerClient, "call">, editor: import("../state/editor.js").Editor}} parts
 * @param {boolean} hasText whether the model takes text
 */
export function makeTextForm(store, { backend, client, editor }, hasText) {
  const form = byId("text-form");
  form.hidden = !hasText;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const text = /** @type {HTMLInputElement} */ (byId("text-prompt")).value.trim();
    const { image, isReady, session } = store.state;
    if (!image || !text || !isReady) return;
    const prompt = { ...session.prompt, text };
    try {
      const [best] = await backend.predict(image, prompt);
      if (!best || store.state.image !== image) return;
      const mask = await client.call("trace", { segmentation: best.segmentation });
      if (best.note) store.emit("notice", { text: best.note });
      editor.start(mask, { source: "text", score: best.score, prompt }, "the text");
    } catch (error) {
      store.emit("notice", { text: messageOf(error), kind: "problem" });
    }
  });
}
