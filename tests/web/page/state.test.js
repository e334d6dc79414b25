/** The event store, and the parts of the page that change it, without a browser. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Store } from "../../../samjax/web/page/core/store.js";
import { Commands } from "../../../samjax/web/page/state/commands.js";
import { Decisions, isProposed } from "../../../samjax/web/page/state/decisions.js";
import { Editor } from "../../../samjax/web/page/state/editor.js";
import { History } from "../../../samjax/web/page/state/history.js";
import { Labels } from "../../../samjax/web/page/state/labels.js";
import { MaskList } from "../../../samjax/web/page/state/mask_list.js";
import { Opening } from "../../../samjax/web/page/state/opening.js";
import { Proposals } from "../../../samjax/web/page/state/proposals.js";
import { isBlank, shownMask } from "../../../samjax/web/page/state/session.js";
import { makeStore } from "../../../samjax/web/page/state/state.js";
import { Sync } from "../../../samjax/web/page/state/sync.js";
import { TextSearch } from "../../../samjax/web/page/state/text_search.js";
import { traceMasks } from "../../../samjax/web/page/state/tracing.js";
import { tracedMask } from "../../../samjax/web/page/core/postprocessing.js";
import { isSameLayer, lowerLayer } from "../../../samjax/web/page/ui/layers.js";
import { saveState } from "../../../samjax/web/page/ui/save_state.js";
import { encode } from "./goldens.js";

const SIZE = /** @type {[number, number]} */ ([4, 5]);

test("watchers of a key are called once per change, in order, with the newest state", () => {
  const store = new Store({ a: 1, b: 2 });
  /** @type {string[]} */
  const calls = [];
  store.watch(["a", "b"], ({ a, b }) => calls.push(`first ${a} ${b}`));
  store.watch(["b"], ({ a, b }) => calls.push(`second ${a} ${b}`));
  store.set({ a: 1 });
  assert.deepEqual(calls, []);
  store.set({ a: 5, b: 6 });
  store.set({ a: 7 });
  assert.deepEqual(calls, ["first 5 6", "second 5 6", "first 7 6"]);
});

test("a watcher may change the state, and later watchers get the result", () => {
  const store = new Store({ a: 1, double: 2 });
  /** @type {number[]} */
  const seen = [];
  store.watch(["a"], ({ a }) => store.set({ double: 2 * a }));
  store.watch(["a"], ({ double }) => seen.push(double));
  store.set({ a: 4 });
  assert.deepEqual(seen, [8]);
  assert.throws(() => {
    /** @type {any} */ (store.state).a = 9;
  }, TypeError);
});

test("events reach the listeners of their name", () => {
  /** @type {Store<{}, {saved: string, refused: number}>} */
  const store = new Store({});
  /** @type {string[]} */
  const heard = [];
  store.on("saved", (uuid) => heard.push(uuid));
  store.on("saved", (uuid) => heard.push(`again ${uuid}`));
  store.emit("saved", "u1");
  store.emit("refused", 3);
  assert.deepEqual(heard, ["u1", "again u1"]);
});

test("a click is accepted as an annotation with the exact mask, its prompt and its label", async () => {
  const { store, commands, editor, edits } = await setUp();
  editor.addPoint([2, 1], 1);
  assert.equal(store.state.isPredicting, true);
  await settled();
  assert.deepEqual([store.state.isPredicting, shownMask(store.state.session, store.state.prediction)?.index], [false, 2]);
  commands.setLabel("cup");
  await commands.accept();
  const [{ kind, body }] = edits;
  assert.deepEqual([kind, body.label, body.prompts?.points, body.score, body.level], ["create", "cup", [[2, 1]], 0.9, "whole"]);
  assert.deepEqual(body.segmentation, boxMask(2).segmentation);
  assert.ok(isBlank(store.state.session));
  assert.deepEqual(store.state.recentLabels, ["cup"]);
  const { area, shape, traced } = store.state.masks[0];
  assert.deepEqual([area, shape !== null, traced], [4, true, body.segmentation?.counts]);
  assert.ok(!("stabilityScore" in store.state.masks[0]));
});

test("the mask of a text is that of the session, and the same text is not asked for twice", async () => {
  const { store, search, asked, answer } = await setUpTexts();
  const first = search.find("a cup");
  assert.deepEqual([await search.find("a cup"), asked.length, store.state.isFinding], [false, 1, true]);
  answer(2);
  assert.deepEqual([await first, store.state.isFinding, store.state.session.source], [true, false, "text"]);
  assert.equal(store.state.session.prompt.text, "a cup");
  // Once it is there it may be asked for again.
  const again = search.find("a cup");
  answer(3);
  assert.deepEqual([await again, asked.length], [true, 2]);
});

test("of two texts the last one counts, and none where somebody clicked or left meanwhile", async () => {
  const { store, editor, search, asked, answer, commands } = await setUpTexts();
  const slow = search.find("a cup");
  const fast = search.find("a spoon");
  answer(3, 1);
  answer(2, 0);
  assert.deepEqual([await slow, await fast, store.state.session.prompt.text], [false, true, "a spoon"]);
  for (const leave of [() => editor.addPoint([2, 1], 1), () => commands.open({ ...IMAGE, id: "other" })]) {
    const late = search.find("a fork");
    leave();
    answer(2);
    assert.deepEqual([await late, store.state.isFinding], [false, false]);
    assert.notEqual(store.state.session.prompt.text, "a fork");
  }
  assert.equal(asked.length, 4);
});

test("a text waits for the image, and what went wrong is said", async () => {
  const { store, search, asked, answer, fail, notices } = await setUpTexts();
  assert.equal(await search.find(""), false);
  store.set({ isReady: false, phase: "embedding" });
  const waiting = search.find("a cup");
  await settled();
  assert.equal(asked.length, 0);
  store.set({ isReady: true, phase: "ready" });
  await settled();
  answer(2);
  assert.equal(await waiting, true);
  const empty = search.find("a fork");
  answer(0);
  assert.equal(await empty, false);
  const unknown = search.find("a quokka");
  fail("no word is known");
  assert.equal(await unknown, false);
  store.set({ isReady: false, phase: "error" });
  assert.equal(await search.find("a cup"), false);
  const expected = [/^Write what to find/, /^Nothing was found for “a fork”/, /^no word is known/, /could not be opened/];
  assert.equal(notices.length, expected.length);
  for (const [i, words] of expected.entries()) assert.match(notices[i], words);
  assert.equal(store.state.isFinding, false);
});

test("undo of an accepted edit restores mask and session, redo the edit", async () => {
  const { store, commands, editor, edits } = await setUp();
  editor.addPoint([2, 1], 1);
  await commands.accept();
  const [{ uuid, segmentation: first }] = store.state.masks;
  assert.ok(commands.edit(uuid));
  editor.choose(1);
  await editor.paint({ points: [[0, 0]], radius: 1, erase: false });
  const session = store.state.session;
  await commands.accept();
  const second = store.state.masks[0].segmentation;
  assert.notEqual(second.counts, first.counts);
  commands.undo();
  assert.equal(store.state.masks[0].segmentation.counts, first.counts);
  assert.equal(store.state.session, session);
  commands.redo();
  assert.equal(store.state.masks[0].segmentation.counts, second.counts);
  assert.ok(isBlank(store.state.session));
  assert.deepEqual(edits.map(({ kind }) => kind), ["create", "change", "change", "change"]);
});

test("undo of an accepted mask removes it and restores its session", async () => {
  const { store, commands, editor } = await setUp();
  editor.addPoint([2, 1], 1);
  const { session } = store.state;
  await commands.accept();
  commands.undo();
  assert.deepEqual([store.state.masks.length, store.state.session], [0, session]);
  commands.redo();
  assert.deepEqual([store.state.masks.length, isBlank(store.state.session)], [1, true]);
  commands.remove(store.state.masks[0].uuid);
  assert.equal(store.state.masks.length, 0);
  commands.undo();
  assert.equal(store.state.masks.length, 1);
});

test("a prompt on a painted mask has that mask as its input", async () => {
  const { store, editor, clicks } = await setUp();
  await editor.paint({ points: [[1, 1]], radius: 1, erase: false });
  const painted = store.state.session.drawn?.segmentation;
  editor.addPoint([3, 3], 1);
  await settled();
  assert.deepEqual(clicks.at(-1)?.mask, painted);
  assert.equal(store.state.session.drawn, null);
});

test("a prediction for another image or an older prompt is dropped", async () => {
  const { store, commands, editor } = await setUp();
  editor.addPoint([2, 1], 1);
  commands.open({ ...IMAGE, id: "other" });
  await settled();
  assert.deepEqual([store.state.prediction, isBlank(store.state.session), store.state.undoable], [null, true, null]);
});

test("proposals are taken one by one or accepted together, which undo takes back", async () => {
  const { store, commands, proposals, edits } = await setUp();
  await proposals.start({ points_per_side: 4, pred_iou_thresh: 0, stability_score_thresh: 0 });
  assert.deepEqual(store.state.proposals.map(({ mask: { area } }) => area), [16, 9, 4]);
  assert.equal(store.state.hasSearched, true);
  proposals.highlight([0.5, 0.5]);
  assert.equal(store.state.highlighted, store.state.proposals[2].key);
  commands.takeProposal([0.5, 0.5]);
  assert.deepEqual([store.state.session.source, store.state.session.drawn?.area, store.state.proposals.length], ["everything", 4, 2]);
  commands.escape();
  commands.acceptAll();
  assert.deepEqual([store.state.masks.length, store.state.proposals.length], [2, 0]);
  assert.ok(edits.every(({ body }) => body.source === "everything"));
  commands.undo();
  assert.equal(store.state.masks.length, 0);
});

test("masks of the server are outlined once each, and anew when they change", async () => {
  const { store, masks, traced } = await setUp([stored("u1", 2), stored("u2", 3)]);
  await settled();
  assert.deepEqual(store.state.masks.map(({ area, shape }) => [area, shape !== null]), [[4, true], [9, true]]);
  masks.show(["u1"], false);
  await settled();
  assert.equal(traced.length, 2);
  masks.replace({ ...stored("u1", 4), revision: 2 });
  await settled();
  assert.deepEqual([traced.length, store.state.masks[0].area, store.state.masks[0].visible], [3, 16, false]);
});

for (const { kept, list, sent } of /** @type {const} */ ([
  { kept: "theirs", list: ["theirs"], sent: [] },
  { kept: "mine", list: ["mine"], sent: ["change a-u1 7"] },
  { kept: "both", list: ["theirs", "mine"], sent: ["create null 0"] },
])) {
  test(`a conflict that is resolved with "${kept}" leaves the masks ${list}`, async () => {
    const { store, masks, sync, edits } = await setUp([stored("u1", 2)]);
    masks.change("u1", { label: "mine" });
    const [edit] = edits.splice(0);
    store.emit("conflict", { edit, current: { ...stored("u1", 2), revision: 7, label: "theirs" } });
    const [conflict] = store.state.conflicts;
    sync.resolve(conflict, kept);
    assert.deepEqual(store.state.masks.map(({ label }) => label), list);
    assert.deepEqual(edits.map(({ kind, id, revision }) => `${kind} ${id} ${revision}`), sent);
    assert.equal(store.state.conflicts.length, 0);
  });
}

test("opening shows its progress, and a failure can be repeated", async () => {
  const store = makeStore();
  let failures = 1;
  const client = /** @type {any} */ ({ call: async () => {} });
  const backend = /** @type {any} */ ({
    mode: "server",
    features: async (/** @type {any} */ _image, /** @type {(state: any) => void} */ onState) => {
      onState({ state: "queued", position: 2, seconds: 0, expected_seconds: null });
      if (failures-- > 0) throw new Error("out of memory");
      return {};
    },
  });
  const model = { whenLoaded: async () => ({ threads: 1 }), progress: { done: 0, total: 0 }, onProgress: () => {} };
  const opening = new Opening(store, backend, client, model, 64);
  /** @type {(string | undefined)[]} */
  const texts = [];
  store.watch(["progress"], ({ progress }) => texts.push(progress?.text));
  store.set({ image: { ...IMAGE } });
  assert.equal(store.state.phase, "embedding");
  await settled();
  assert.deepEqual([store.state.phase, store.state.isReady, store.state.progress], ["error", false, { text: "out of memory", share: null, isFailed: true }]);
  assert.ok(texts.includes("Queued: 2 images are before this one"), `${texts}`);
  await opening.open();
  assert.deepEqual([store.state.phase, store.state.isReady, store.state.progress], ["ready", true, null]);
});

test("layers are drawn again only where masks look different", () => {
  const store = makeStore();
  const mask = /** @type {any} */ ({ uuid: "u1", visible: true, shape: tracedMask(boxMask(2).segmentation).shape, label: "" });
  store.set({ masks: [mask] });
  const before = lowerLayer(store.state);
  store.set({ masks: [{ ...mask, label: "cup" }] });
  assert.ok(isSameLayer(before, lowerLayer(store.state)));
  store.set({ selected: "u1" });
  assert.ok(!isSameLayer(before, lowerLayer(store.state)));
  store.set({ selected: null, masks: [{ ...mask, visible: false }] });
  assert.deepEqual(lowerLayer(store.state), []);
});

test("the proposal under the pointer is taken, or the selected one, and the next one is selected", async () => {
  const { store, decisions, edits } = await setUp([proposed("u1", 2), proposed("u2", 3), stored("u3", 4), proposed("u4", 1)]);
  store.set({ pointer: [2.5, 2.5] });
  assert.ok(decisions.takeNext());
  assert.deepEqual(edits.map(({ uuid, body }) => [uuid, body]), [["u2", { source: "proposal" }]]);
  store.set({ pointer: null });
  // None is meant: the first is selected, and nothing is decided.
  assert.ok(decisions.rejectNext());
  assert.deepEqual([store.state.selected, edits.length], ["u1", 1]);
  decisions.rejectNext();
  assert.deepEqual([store.state.selected, edits.at(-1)?.kind, edits.at(-1)?.uuid], ["u4", "remove", "u1"]);
  decisions.takeNext();
  assert.deepEqual([store.state.selected, store.state.masks.filter(isProposed)], [null, []]);
  assert.ok(!decisions.takeNext());
  assert.equal(edits.length, 3);
});

test("decisions on one or all proposals are undone and redone", async () => {
  const { store, commands, decisions } = await setUp([proposed("u1", 2), proposed("u2", 3), stored("u3", 4)]);
  const open = () => store.state.masks.filter(isProposed).map(({ uuid }) => uuid);
  for (const decide of [() => decisions.take(), () => decisions.reject(), () => decisions.take(["u1"]), () => decisions.reject(["u1"])]) {
    const before = open();
    decide();
    const after = open();
    assert.notDeepEqual(after, before);
    commands.undo();
    assert.deepEqual(open(), before);
    commands.redo();
    assert.deepEqual(open(), after);
    commands.undo();
  }
});

test("a proposal that is edited or labelled is taken, and is never made by hand", async () => {
  const { store, commands, editor } = await setUp([proposed("u1", 2), proposed("u2", 3)]);
  commands.relabel("u1", "cup");
  commands.edit("u2");
  editor.addPoint([3, 3], 1);
  await commands.accept();
  const states = () => store.state.masks.map(({ source, edited }) => [source, edited]);
  assert.deepEqual(states(), [["proposal", false], ["proposal", true]]);
  commands.undo();
  commands.undo();
  commands.undo();
  commands.undo();
  assert.deepEqual(states(), [["proposed", false], ["proposed", false]]);
});

test("proposals are dashed until somebody decides", async () => {
  const { store, decisions } = await setUp([proposed("u1", 2), stored("u2", 3)]);
  const before = lowerLayer(store.state);
  assert.deepEqual(before.map(({ dashed }) => dashed), [true, false]);
  decisions.take(["u1"]);
  assert.ok(!isSameLayer(before, lowerLayer(store.state)));
});

test("the save state has pending edits before all else", () => {
  const state = (/** @type {number} */ size, isStuck = false, isOffline = false) =>
    saveState({ ...makeStore().state, outbox: { size, isStuck, problem: null }, isOffline }, "server").state;
  assert.deepEqual([state(0), state(2), state(2, true), state(2, false, true), state(0, false, true)], ["saved", "busy", "stuck", "busy", "away"]);
});

const IMAGE = { id: "img", name: "photo.jpg", width: 5, height: 4, annotations: 0, embedded: true, problem: null };

/**
 * The parts of a workspace on an open image, with a worker of square masks.
 * @param {import("../../../samjax/web/page/io/backend.js").Annotation[]} [annotations]
 */
async function setUp(annotations = []) {
  const store = makeStore();
  /** @type {import("../../../samjax/web/page/core/prompts.js").Prompt[]} */
  const clicks = [];
  /** @type {unknown[]} */
  const traced = [];
  const client = /** @type {any} */ ({
    click: async (/** @type {string} */ _key, /** @type {any} */ prompt) => {
      clicks.push(prompt);
      await settled(1);
      return { masks: [{ index: 2, score: 0.9, ...boxMask(2), level: "whole" }, { index: 1, score: 0.5, ...boxMask(1), level: "part" }], milliseconds: 1 };
    },
    hover: async () => null,
    call: async (/** @type {string} */ name, /** @type {any} */ values) => {
      if (name === "fullMask") return { ...boxMask(values.index), stabilityScore: 0.8 };
      if (name === "stroke") return boxMask(3);
      traced.push(values);
      return tracedMask(values.segmentation);
    },
  });
  const backend = /** @type {any} */ ({
    mode: "server",
    annotations: async () => ({ revision: 1, annotations, deleted: [] }),
    everything: async () => [3, 4, 2].map((side) => ({ segmentation: boxMask(side).segmentation, score: 0.7, stability: 0.9, point: [1, 1] })),
  });
  /** @type {import("../../../samjax/web/page/io/outbox.js").PendingEdit[]} */
  const edits = [];
  const outbox = { add: (/** @type {any} */ edit) => edits.push(edit), of: () => [], discard: () => {} };
  store.on("edit", outbox.add);
  const history = new History(store);
  const masks = new MaskList(store);
  const labels = new Labels(store, []);
  const editor = new Editor(store, client, history);
  const proposals = new Proposals(store, backend, client);
  const sync = new Sync(store, backend, masks, /** @type {any} */ (outbox));
  traceMasks(store, client, masks);
  const commands = new Commands(store, { editor, masks, proposals, labels, history });
  const decisions = new Decisions(store, { masks, history });
  commands.open({ ...IMAGE });
  store.set({ isReady: true });
  await settled();
  return { store, commands, decisions, editor, proposals, masks, sync, edits, clicks, traced };
}

/** The page's parts with a search of texts, whose requests are answered by hand. */
async function setUpTexts() {
  const parts = await setUp();
  /** @type {{resolve: (masks: any[]) => void, reject: (error: Error) => void}[]} */
  const asked = [];
  /** @type {string[]} */
  const notices = [];
  parts.store.on("notice", ({ text }) => notices.push(text));
  const predict = () => new Promise((resolve, reject) => asked.push({ resolve, reject }));
  const client = { call: async (/** @type {string} */ _name, /** @type {any} */ { segmentation }) => tracedMask(segmentation) };
  const search = new TextSearch(parts.store, /** @type {any} */ ({ backend: { predict }, client, editor: parts.editor }));
  return {
    ...parts,
    search,
    asked,
    notices,
    answer: (/** @type {number} */ side, at = asked.length - 1) => asked[at].resolve([{ segmentation: boxMask(side).segmentation, score: 0.8 }]),
    fail: (/** @type {string} */ message) => asked[asked.length - 1].reject(new Error(message)),
  };
}

/** @param {number} [milliseconds] */
function settled(milliseconds = 10) {
  return new Promise((done) => setTimeout(done, milliseconds));
}

/** @param {number} side of a square at the upper left */
function boxMask(side) {
  const bits = new Uint8Array(20);
  for (let y = 0; y < side; y++) bits.fill(1, 5 * y, 5 * y + side);
  return tracedMask(encode(bits, SIZE));
}

/**
 * @param {string} uuid
 * @param {number} side
 * @returns {import("../../../samjax/web/page/io/backend.js").Annotation}
 */
function stored(uuid, side) {
  const { segmentation, area } = boxMask(side);
  const prompts = { points: [], labels: [], box: null, mask: false, text: null };
  return {
    uuid, id: `a-${uuid}`, image_id: "img", revision: 1, area, segmentation, label: "", prompts,
    score: 0.5, stability_score: null, source: "click", edited: false, level: null, seconds: 0, author: "",
  };
}

/**
 * @param {string} uuid
 * @param {number} side
 */
function proposed(uuid, side) {
  return { ...stored(uuid, side), source: /** @type {const} */ ("proposed") };
}
