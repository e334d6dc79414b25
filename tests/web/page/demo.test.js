/** The backend of the static demo, and the layout of embeddings. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { toChannelsFirst } from "../../../samjax/web/page/core/embedding_layout.js";
import { demoBackend } from "../../../samjax/web/page/io/demo_backend.js";

test("the demo's cache of embeddings evicts the one that was used longest ago", async () => {
  const { backend, images, embedded } = await demo(6);
  const open = async (/** @type {number[]} */ ...indices) => {
    embedded.length = 0;
    for (const i of indices) await backend.features(images[i], () => {}, new AbortController().signal);
    return [...embedded];
  };
  assert.deepEqual(await open(0, 1, 2, 3), ["0", "1", "2", "3"]);
  // All four are cached; the order of use is now 1, 2, 3, 0.
  assert.deepEqual(await open(0), []);
  assert.deepEqual(await open(4), ["4"]);
  assert.deepEqual(await open(0, 2, 3, 4), []);
  assert.deepEqual(await open(1), ["1"]);
});

test("an embedding in either layout is [1, channels, height, width] for the graphs", () => {
  const hwc = Float32Array.from({ length: 24 }, (_, i) => i);
  const { data, shape } = toChannelsFirst({ data: hwc, shape: [2, 3, 4] });
  assert.deepEqual(shape, [1, 4, 2, 3]);
  for (let y = 0; y < 2; y++) {
    for (let x = 0; x < 3; x++) {
      for (let c = 0; c < 4; c++) assert.equal(data[(c * 2 + y) * 3 + x], hwc[(y * 3 + x) * 4 + c]);
    }
  }
  const chw = { data, shape };
  assert.deepEqual(toChannelsFirst(chw), chw);
});

/** @param {number} count of photos, whose names are their indices */
async function demo(count) {
  Object.assign(globalThis, { createImageBitmap: async () => ({ width: 4, height: 3, close: () => {} }) });
  /** @type {string[]} */
  const embedded = [];
  const client = /** @type {any} */ ({
    call: async (/** @type {string} */ _name, /** @type {any} */ { photo }) => {
      embedded.push(await photo.text());
      return { features: { data: new Float32Array(1), shape: [1, 1, 1, 1] }, milliseconds: 1 };
    },
  });
  const photos = Array.from({ length: count }, (_, i) => ({ id: `photo-${i}`, name: `${i}.jpg`, photo: new Blob([String(i)]) }));
  const storage = { all: async (/** @type {string} */ name) => (name === "photos" ? photos : []), put: async () => {}, remove: async () => {} };
  const config = /** @type {any} */ ({ samples: [], model: { image_size: 64 } });
  const backend = demoBackend(config, new URL("http://demo/config.json"), client, storage);
  /** @type {import("../../../samjax/web/page/io/backend.js").ImageEntry[]} */
  const images = [];
  await backend.images((some) => images.push(...some));
  return { backend, images, embedded };
}
