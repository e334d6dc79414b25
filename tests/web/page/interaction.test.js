/** Views, prompts, history and the order of the decoder's work. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { hashOf, imageIdOf } from "../../../samjax/web/page/core/address.js";
import * as frames from "../../../samjax/web/page/core/frame.js";
import { History } from "../../../samjax/web/page/state/history.js";
import { makeStore } from "../../../samjax/web/page/state/state.js";
import { LatestQueue } from "../../../samjax/web/page/model/latest_queue.js";
import * as prompts from "../../../samjax/web/page/core/prompts.js";
import { LruCache } from "../../../samjax/web/page/core/lru_cache.js";
import { dice, goldens } from "./goldens.js";

test("sides are resized with halves up, and never to nothing", () => {
  assert.deepEqual(frames.fitFrame([1200, 1800], 1024).resizedSize, [683, 1024]);
  assert.deepEqual(frames.fitFrame([1, 5000], 1024).resizedSize, [1, 1024]);
  assert.deepEqual(frames.fitFrame([3, 2], 1).resizedSize, [1, 1]);
  assert.throws(() => frames.fitFrame([0, 5], 1024), /at least 1/);
});

test("points go to the model's frame, and come back from the screen", () => {
  const roll = dice(5);
  for (let i = 0; i < 50; i++) {
    const size = /** @type {[number, number]} */ ([1 + roll(3000), 1 + roll(3000)]);
    const frame = frames.fitFrame(size, 512);
    const [height, width] = frame.resizedSize;
    near(frames.toModel(frame, [size[1], size[0]]), [width, height]);
    near(frames.toModel(frame, [size[1] / 4, size[0] / 2]), [width / 4, height / 2]);
    const point = /** @type {[number, number]} */ ([roll(size[1]), roll(size[0])]);
    const view = { scale: 0.1 + roll(80) / 10, x: roll(900) - 400, y: roll(900) - 400 };
    near(frames.toImage(view, frames.toScreen(view, point)), point);
  }
});

test("zooming keeps the point under the pointer, and the fit shows the whole image", () => {
  const view = frames.fitView([600, 400], [700, 900]);
  near(frames.toScreen(view, [200, 300]), [450, 350]);
  assert.ok(view.x >= 16 && view.y >= 15.9);
  const about = /** @type {[number, number]} */ ([123, 456]);
  const zoomed = frames.zoomAt(view, about, 3, 0.01);
  near(frames.toImage(zoomed, about), frames.toImage(view, about));
  assert.equal(frames.zoomAt(view, about, 1e9, 0.01).scale, frames.LARGEST_SCALE);
  assert.equal(frames.zoomAt(view, about, 1e-9, 0.01).scale, 0.01);
});

test("an image cannot be moved out of sight", () => {
  const { x, y } = frames.keepInSight({ scale: 1, x: -1e6, y: 1e6 }, [300, 400], [600, 800]);
  assert.ok(x + 400 >= 48 && y <= 600 - 48);
});

test("a prompt without a box has one point that stands for it, one with a box none", () => {
  const frame = frames.fitFrame([100, 200], 1024);
  let prompt = prompts.withPoint(prompts.NO_PROMPT, [100, 50], 1);
  assert.deepEqual([...prompts.toInputs(prompt, frame).point_coords], [512, 256, 0, 0]);
  assert.deepEqual([...prompts.toInputs(prompt, frame).point_labels], [1, -1]);
  prompt = { ...prompts.withPoint(prompt, [10, 20], 0), box: prompts.boxBetween([20, 30], [10, 5]) };
  const { point_coords, point_labels } = prompts.toInputs(prompt, frame);
  assert.deepEqual([...point_labels], [1, 0, 2, 3]);
  near([...point_coords].slice(4), [51.2, 25.6, 102.4, 153.6]);
});

test("a lone point or box is ambiguous, and its masks come best first", () => {
  const point = prompts.withPoint(prompts.NO_PROMPT, [1, 1], 1);
  const scores = [0.99, 0.3, 0.8, 0.5];
  assert.deepEqual(prompts.masksToShow(point, scores), [2, 3, 1]);
  assert.deepEqual(prompts.masksToShow(prompts.withPoint(point, [2, 2], 0), scores), [0]);
  assert.deepEqual(prompts.masksToShow({ ...prompts.NO_PROMPT, box: [0, 0, 1, 1] }, scores), [2, 3, 1]);
  assert.deepEqual(prompts.masksToShow({ ...point, box: [0, 0, 1, 1] }, scores), [0]);
  assert.deepEqual(prompts.levelsOf([10, 500, 60]), ["subpart", "whole", "part"]);
  assert.deepEqual(prompts.levelsOf([10]), [null]);
});

test("a prompt is ambiguous where samjax.Prompt has it ambiguous", () => {
  const values = { box: [0, 0, 1, 1], mask: { size: [2, 2], counts: "022" }, text: "a dog" };
  assert.equal(goldens.ambiguous.length, 24);
  for (const { points, fields, is_ambiguous } of goldens.ambiguous) {
    let prompt = prompts.NO_PROMPT;
    for (let i = 0; i < points; i++) prompt = prompts.withPoint(prompt, [i, i], 1);
    for (const name of /** @type {("box" | "mask" | "text")[]} */ (fields)) prompt = { ...prompt, [name]: values[name] };
    assert.equal(prompts.isAmbiguous(prompt), is_ambiguous, `${points} points, ${fields}`);
    assert.deepEqual(prompts.masksToShow(prompt, [0.9, 0.1, 0.3, 0.2]), is_ambiguous ? [2, 3, 1] : [0]);
  }
});

test("an image's id comes back from the address, and whatever stands there is no error", () => {
  for (const id of ["aGVsbG8_-=", "sample-photos/a%20b.jpg", "photo-1", "ä/#?&%"]) assert.equal(imageIdOf(hashOf(id)), id);
  const typed = { "": "", "#": "", "#/image/": "", "#/other/x": "", "#/image/%": "%", "#/image/%E0%A4": "%E0%A4", "#/image/a%20b": "a b" };
  for (const [hash, id] of Object.entries(typed)) assert.equal(imageIdOf(hash), id);
});

test("a full cache evicts the least recently used value", () => {
  const cache = new LruCache(3);
  for (const key of ["a", "b", "c"]) cache.set(key, key);
  assert.equal(cache.get("a"), "a");
  cache.set("d", "d");
  cache.set("d", "D");
  assert.deepEqual(["a", "b", "c", "d"].map((key) => cache.get(key)), ["a", undefined, "c", "D"]);
  for (let i = 0; i < 50; i++) cache.set(`${i}`, "x");
  assert.deepEqual([cache.get("46"), cache.get("47"), cache.get("49")], [undefined, "x", "x"]);
});

test("prompts do not change, and points go one by one", () => {
  const one = prompts.withPoint(prompts.NO_PROMPT, [1, 1], 1);
  const two = prompts.withPoint(one, [2, 2], 0);
  assert.equal(one.points.length, 1);
  assert.deepEqual(prompts.withoutPoint(two, 0).labels, [0]);
  assert.ok(prompts.isEmpty(prompts.NO_PROMPT) && !prompts.isEmpty(one));
});

test("undo and redo are inverse, and a new step clears what could be redone", () => {
  const store = makeStore();
  const history = new History(store);
  let value = 0;
  const step = (/** @type {number} */ to) => {
    const from = value;
    value = to;
    history.push({ name: `to ${to}`, undo: () => (value = from), redo: () => (value = to) });
  };
  step(1);
  step(2);
  assert.equal(history.undo(), "to 2");
  assert.equal(value, 1);
  assert.equal(history.redo(), "to 2");
  history.undo();
  history.undo();
  assert.equal(history.undo(), null);
  assert.equal(value, 0);
  step(7);
  const { undoable, redoable } = store.state;
  assert.deepEqual([undoable, redoable], ["to 7", null]);
});

test("a newer preview drops the one that waits, never the one that runs", async () => {
  const queue = new LatestQueue();
  /** @type {string[]} */
  const ran = [];
  const task = (/** @type {string} */ name) => async () => {
    ran.push(name);
    await new Promise((done) => setTimeout(done, 1));
    return name;
  };
  const values = await Promise.all([
    queue.preview(task("a")),
    queue.preview(task("b")),
    queue.preview(task("c")),
    queue.run(task("click")),
    queue.run(task("next")),
  ]);
  assert.deepEqual(values, ["a", null, "c", "click", "next"]);
  assert.deepEqual(ran, ["a", "click", "next", "c"]);
  assert.ok(queue.idle);
});

test("a failing task rejects its own promise, and the next one runs", async () => {
  const queue = new LatestQueue();
  const failed = queue.run(async () => {
    throw new Error("no");
  });
  const after = queue.run(async () => "yes");
  await assert.rejects(failed, /no/);
  assert.equal(await after, "yes");
});

/**
 * @param {number[]} got
 * @param {number[]} expected
 */
function near(got, expected) {
  got.forEach((value, i) => assert.ok(Math.abs(value - expected[i]) < 1e-3, `${got} is not ${expected}`));
}
