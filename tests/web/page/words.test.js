/** The tokenizer of whole words has the ids of `samjax.text.WordTokenizer`. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { someWords, tokensOf } from "../../../samjax/web/page/core/words.js";
import { demoBackend } from "../../../samjax/web/page/io/demo_backend.js";
import { goldens } from "./goldens.js";

// Those of make_goldens.py.
const VOCABULARY = { words: ["a", "the", "red", "cup", "spoon", "handle", "'s", "café", "4"], context_length: 9 };

test("ids are those of samjax for capitals, quotes, other widths, digits, entities and long texts", () => {
  for (const { text, ids } of goldens.words) assert.deepEqual(tokensOf(text, VOCABULARY)?.ids, ids, text);
  assert.equal(goldens.words.length, 11);
});

test("a text without a known word has no tokens, and strange words are told", () => {
  for (const text of ["", "  ", "the a", "qqqq", "!!!"]) assert.equal(tokensOf(text, VOCABULARY), null, text);
  assert.deepEqual(tokensOf("red zzz cup zzz", VOCABULARY)?.unknown, ["zzz"]);
  assert.equal(tokensOf("red ".repeat(10), VOCABULARY)?.left, 3);
  assert.equal(someWords(VOCABULARY), "red, cup, spoon, handle, café");
});

test("the demo predicts a text in the page, and says what it does not know", async () => {
  /** @type {any[]} */
  const calls = [];
  const client = /** @type {any} */ ({
    call: async (/** @type {string} */ name, /** @type {any} */ values) => {
      calls.push([name, values]);
      return { segmentation: { size: [1, 1], counts: "01" }, score: 0.5 };
    },
  });
  const graph = { url: "model/text.onnx", bytes: 9 };
  const decoder = { prepare: graph, prompt: graph };
  const config = /** @type {any} */ ({ samples: [], model: { text: true }, encoder: graph, decoder, text: { ...VOCABULARY, graph } });
  const backend = demoBackend(config, new URL("http://demo/config.json"), client, /** @type {any} */ ({}));
  assert.equal((await backend.info()).decoder.text?.url, "http://demo/model/text.onnx");
  const image = /** @type {any} */ ({ id: "one" });
  const prompt = /** @type {any} */ ({ points: [], labels: [], box: null, mask: null, text: "a red zzz" });
  const [mask] = await backend.predict(image, prompt);
  assert.equal(mask.note, "The model has not learned: zzz.");
  assert.deepEqual(calls, [["text", { key: "one", prompt, tokens: [11, 1, 3, 10, 12, 0, 0, 0, 0] }]]);
  await assert.rejects(backend.predict(image, { ...prompt, text: "qqqq" }), /knows no word of "qqqq"/);
  const plain = demoBackend({ ...config, text: undefined }, new URL("http://demo/config.json"), client, /** @type {any} */ ({}));
  await assert.rejects(plain.predict(image, prompt), /no text prompts/);
});
