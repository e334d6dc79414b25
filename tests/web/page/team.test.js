/** Reviews mask by mask and regions to blur in the page, without a browser. */

import assert from "node:assert/strict";
import { after, test } from "node:test";

import { Refused } from "../../../samjax/web/page/io/backend.js";
import { Outbox } from "../../../samjax/web/page/io/outbox.js";
import { Decisions } from "../../../samjax/web/page/state/decisions.js";
import { History } from "../../../samjax/web/page/state/history.js";
import { MaskReviews, reviewOf, verdictsOf } from "../../../samjax/web/page/state/mask_reviews.js";
import { Regions } from "../../../samjax/web/page/state/regions.js";
import { makeStore } from "../../../samjax/web/page/state/state.js";
import { encode } from "./goldens.js";

const IMAGE = { id: "img", name: "photo.jpg", width: 5, height: 4, annotations: 0, embedded: true, problem: null };

test("masks are accepted or returned under the pointer or where selected, and the next one is selected", async () => {
  const { store, reviews, sent } = setUp();
  reviews.acceptNext();
  // None is meant: the first without a verdict is selected.
  assert.deepEqual([store.state.selected, sent.length], ["u1", 0]);
  reviews.acceptNext();
  assert.equal(store.state.selected, "u2");
  reviews.returnNext((run) => run("no handle"));
  assert.equal(store.state.selected, null);
  assert.deepEqual(verdictsOf(store.state), { seen: 2, returned: 1 });
  store.set({ pointer: [0.5, 0.5] });
  reviews.returnNext((run) => run("all of it"));
  await settled();
  assert.deepEqual(sent, [
    ["1", { task: 7, revision: 3, verdict: "accepted", note: "" }],
    ["2", { task: 7, revision: 3, verdict: "returned", note: "no handle" }],
    ["1", { task: 7, revision: 3, verdict: "returned", note: "all of it" }],
  ]);
});

test("a verdict is undone to the one before it, and is not one on a later version", () => {
  const { store, history, reviews } = setUp();
  const verdict = () => reviewOf(store.state.masks[0], store.state.reviews)?.verdict ?? null;
  reviews.judge("u1", "accepted");
  reviews.judge("u1", "returned", "no");
  history.undo();
  assert.equal(verdict(), "accepted");
  history.undo();
  assert.equal(verdict(), null);
  history.redo();
  assert.equal(verdict(), "accepted");
  store.set({ masks: store.state.masks.map((mask) => ({ ...mask, revision: 4 })) });
  assert.equal(verdict(), null);
});

test("a mask that is not saved yet gets no verdict, and one that is refused is reported", async () => {
  const { store, reviews, sent, notices, failing } = setUp();
  store.set({ masks: store.state.masks.map((mask) => ({ ...mask, state: /** @type {const} */ ("unsaved") })) });
  reviews.judge("u1", "accepted");
  assert.deepEqual([sent.length, notices.length], [0, 1]);
  store.set({ masks: store.state.masks.map((mask) => ({ ...mask, state: /** @type {const} */ ("saved") })) });
  failing.with = new Error("somebody else has it");
  reviews.judge("u1", "accepted");
  await settled();
  assert.match(notices[1], /somebody else has it/);
  assert.deepEqual(store.state.reviews, []);
});

/** @typedef {[number, number, number, number]} Box */

/** @type {Outbox[]} */
const outboxes = [];
// Otherwise they would try again for ever.
after(() => outboxes.forEach((outbox) => outbox.discard("img")));

/**
 * Regions with an outbox, and a server that has one region.
 * @param {string | null} [kept] edits of an earlier page
 */
function setUpRegions(kept = null) {
  const store = makeStore();
  const history = new History(store);
  /** @type {unknown[]} */
  const calls = [];
  const old = { uuid: "old", box: /** @type {Box} */ ([0, 0, 2, 2]) };
  const server = { stored: [old], failing: /** @type {Error | null} */ (null), calls };
  const respond = () => {
    if (server.failing) throw server.failing;
  };
  const backend = {
    list: async () => {
      respond();
      return server.stored;
    },
    add: async (/** @type {string} */ id, /** @type {any} */ { uuid, box }, /** @type {string} */ author) => {
      respond();
      calls.push(["add", id, box, author]);
      server.stored = [...server.stored, { uuid, box }];
    },
    remove: async (/** @type {string} */ uuid) => {
      respond();
      calls.push(["remove", uuid]);
      server.stored = server.stored.filter((region) => region.uuid !== uuid);
    },
  };
  const never = () => assert.fail("no mask is sent");
  const masks = { create: never, change: never, remove: never, restore: never };
  const shelf = { text: kept ?? "[]" };
  const outbox = new Outbox(store, { ...masks, regions: backend }, { load: () => kept, save: (text) => (shelf.text = text) }, [300]);
  outboxes.push(outbox);
  const regions = new Regions(store, backend, history, outbox);
  const shown = () => store.state.regions.map((region) => region.box);
  return { store, history, server, shelf, outbox, regions, shown };
}

test("regions are stored as they are drawn and removed, and undone", async () => {
  const { store, history, server, regions, shown } = setUpRegions();
  store.set({ image: IMAGE, person: "ada" });
  await settled();
  regions.add([1, 1, 3, 4]);
  const [, { uuid }] = store.state.regions;
  history.undo();
  assert.deepEqual(shown(), [[0, 0, 2, 2]]);
  history.redo();
  regions.remove("old");
  assert.deepEqual(shown(), [[1, 1, 3, 4]]);
  history.undo();
  for (let i = 0; i < 9; i++) await settled();
  assert.deepEqual(server.calls, [
    ["add", "img", [1, 1, 3, 4], "ada"], ["remove", uuid], ["add", "img", [1, 1, 3, 4], "ada"], ["remove", "old"], ["add", "img", [0, 0, 2, 2], "ada"],
  ]);
});

test("regions that are drawn while the server is away wait in the page, over a reload, and are sent once", async () => {
  const { store, server, shelf, outbox, regions, shown } = setUpRegions();
  store.set({ image: IMAGE });
  await settled();
  server.failing = new Refused(0, "away");
  regions.add([1, 1, 3, 4]);
  regions.remove("old");
  await settled();
  assert.deepEqual([shown(), store.state.outbox.size], [[[1, 1, 3, 4]], 2]);
  assert.deepEqual([outbox.of("img"), outbox.ofRegions("img").length], [[], 2]);
  // The next page, before the server is back: what was drawn is shown.
  const next = setUpRegions(shelf.text);
  next.server.failing = new Refused(0, "away");
  next.store.set({ image: IMAGE });
  await settled();
  assert.deepEqual(next.shown(), [[1, 1, 3, 4]]);
  next.server.failing = null;
  // Read before they are sent: the edits apply to what the server has.
  await next.regions.refresh();
  assert.deepEqual(next.shown(), [[1, 1, 3, 4]]);
  await next.outbox.send();
  await next.outbox.send();
  assert.deepEqual(next.server.calls, [["add", "img", [1, 1, 3, 4], ""], ["remove", "old"]]);
  await next.regions.refresh();
  assert.deepEqual([next.shown(), next.shelf.text], [[[1, 1, 3, 4]], "[]"]);
});

test("a region that the server refuses is no longer shown, and removing one that is gone is no error", async () => {
  const { store, server, regions, shown } = setUpRegions();
  /** @type {string[]} */
  const refused = [];
  store.on("refused", ({ edit, message }) => refused.push(`${edit.kind} ${message}`));
  store.set({ image: IMAGE });
  await settled();
  server.failing = new Refused(422, "outside");
  regions.add([1, 1, 3, 9]);
  server.failing = null;
  // The request was made before: it is that one which fails.
  await settled();
  assert.deepEqual(refused, ["addRegion outside"]);
  await settled();
  assert.deepEqual(shown(), [[0, 0, 2, 2]]);
  server.failing = new Refused(404, "none");
  regions.remove("old");
  await settled();
  assert.deepEqual([refused.length, store.state.outbox.size], [1, 0]);
});

/** A review of two masks, of a pixel and of the whole image. */
function setUp() {
  const store = makeStore();
  const history = new History(store);
  /** @type {unknown[][]} */
  const sent = [];
  /** @type {{with: Error | null}} */
  const failing = { with: null };
  const backend = {
    reviews: async () => [],
    reviewMask: async (/** @type {string} */ id, /** @type {object} */ review) => {
      if (failing.with) throw failing.with;
      sent.push([id, review]);
    },
  };
  const decisions = new Decisions(store, { masks: /** @type {any} */ ({}), history });
  store.set({ image: IMAGE });
  const reviews = new MaskReviews(store, backend, { decisions, history });
  const mask = (/** @type {string} */ uuid, /** @type {string} */ id, /** @type {Uint8Array} */ bits, /** @type {number} */ area) =>
    /** @type {any} */ ({ uuid, id, revision: 3, state: "saved", source: "click", edited: false, visible: true, area, segmentation: encode(bits, [4, 5]) });
  store.set({
    task: { id: 7, image_id: "img", image: "photo.jpg", kind: "verify", note: "" },
    masks: [mask("u1", "1", new Uint8Array(20).fill(1, 0, 1), 1), mask("u2", "2", new Uint8Array(20).fill(1), 20)],
  });
  /** @type {string[]} */
  const notices = [];
  store.on("notice", ({ text }) => notices.push(text));
  return { store, history, reviews, sent, notices, failing };
}

function settled() {
  return new Promise((done) => setTimeout(done, 5));
}
