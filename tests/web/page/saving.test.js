/** Edits of the page reach the server once, in order, and none is lost. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Refused } from "../../../samjax/web/page/io/backend.js";
import { serverBackend } from "../../../samjax/web/page/io/server_backend.js";
import { MaskList } from "../../../samjax/web/page/state/mask_list.js";
import { Outbox } from "../../../samjax/web/page/io/outbox.js";
import { makeStore } from "../../../samjax/web/page/state/state.js";
import { addEffort, Effort } from "../../../samjax/web/page/state/effort.js";

/** @typedef {import("../../../samjax/web/page/io/backend.js").Annotation} Annotation */
/** @typedef {import("../../../samjax/web/page/io/backend.js").AnnotationIn} AnnotationIn */
/** @typedef {import("../../../samjax/web/page/io/outbox.js").PendingEdit} PendingEdit */

test("a mask that is changed before it is created gets its id from the answer", async () => {
  const { outbox, server } = setUp();
  outbox.add(edit("create", "u1", annotation("u1")));
  outbox.add(edit("change", "u1", { label: "cat" }));
  outbox.add(edit("remove", "u1", {}));
  outbox.add(edit("restore", "u1", {}));
  await settled(outbox);
  assert.deepEqual(server.calls, ["create u1", "change a-u1 1", "remove a-u1 2", "restore a-u1"]);
});

test("edits that fail are sent again, in their order", async () => {
  const { outbox, server, shelf, state } = setUp();
  server.failures = [new Refused(0, "away"), new Refused(503, "full"), new Refused(0, "away")];
  outbox.add(edit("create", "u1", annotation("u1")));
  outbox.add(edit("create", "u2", annotation("u2")));
  assert.equal(JSON.parse(shelf.text).length, 2);
  await settled(outbox);
  assert.deepEqual(server.calls, ["create u1", "create u2"]);
  assert.deepEqual(JSON.parse(shelf.text), []);
  assert.ok(!state().isStuck);
});

test("the state shows that edits are stuck", async () => {
  const { outbox, server, state } = setUp([300]);
  server.failures = [new Refused(0, "away")];
  outbox.add(edit("create", "u1", annotation("u1")));
  await new Promise((done) => setTimeout(done, 5));
  assert.deepEqual([state().isStuck, state().size], [true, 1]);
  await outbox.send();
  assert.deepEqual([state().isStuck, state().size], [false, 0]);
});

test("edits that were pending when the page closed are sent by the next one", async () => {
  const first = setUp([300]);
  first.server.failures = [new Refused(0, "away")];
  first.outbox.add(edit("create", "u1", annotation("u1")));
  await new Promise((done) => setTimeout(done, 5));
  const next = setUp([1], first.shelf.text);
  assert.equal(next.outbox.of("img").length, 1);
  await next.outbox.send();
  assert.deepEqual(next.server.calls, ["create u1"]);
  for (const damaged of ["damaged", "null", "{}"]) assert.equal(setUp([1], damaged).state().size, 0);
});

test("a conflict is an event with the server's mask, and its edit is not sent again", async () => {
  const { outbox, server, heard } = setUp();
  const current = { ...saved("u1", 9), label: "theirs" };
  server.failures = [new Refused(409, "changed", { error: {}, annotation: current })];
  outbox.add({ ...edit("change", "u1", { label: "mine" }), id: "a-u1", revision: 3 });
  outbox.add(edit("create", "u2", annotation("u2")));
  await settled(outbox);
  assert.deepEqual(heard.conflicts, ["theirs"]);
  assert.deepEqual(server.calls, ["create u2"]);
});

test("a rejected edit is reported, and blocks no other", async () => {
  const { outbox, server, heard } = setUp();
  server.failures = [new Refused(422, "too many points")];
  outbox.add(edit("create", "u1", annotation("u1")));
  outbox.add(edit("create", "u2", annotation("u2")));
  await settled(outbox);
  assert.deepEqual(heard.refused, ["u1 too many points"]);
  assert.deepEqual(server.calls, ["create u2"]);
});

/**
 * Statuses and error codes of a server, or of a proxy in its place, and whether the edit
 * stays in the queue or is reported as refused.
 * @type {[number, string | null, "kept" | "refused"][]}
 */
const RESPONSES = [
  [0, null, "kept"],
  [302, null, "kept"],
  [401, "unauthorized", "kept"],
  [401, null, "kept"],
  [403, "foreign_host", "kept"],
  [403, "foreign_origin", "kept"],
  [403, null, "kept"],
  [405, null, "kept"],
  [407, null, "kept"],
  [408, "too_slow", "kept"],
  [421, null, "kept"],
  [425, null, "kept"],
  [429, null, "kept"],
  [500, "internal", "kept"],
  [502, null, "kept"],
  [503, "storage", "kept"],
  [507, null, "kept"],
  [404, "not_found", "kept"],
  [409, "changed_meanwhile", "kept"],
  [422, "unusable_image", "kept"],
  [400, "bad_request", "refused"],
  [409, "uuid_taken", "refused"],
  [413, "too_large", "refused"],
  [422, "invalid", "refused"],
  [422, null, "refused"],
];

for (const [status, code, outcome] of RESPONSES) {
  test(`an edit whose response is ${status} ${code} is ${outcome}`, async () => {
    const { outbox, server, heard, shelf, state } = setUp([100_000]);
    const body = code && { error: { code, message: "no" } };
    server.failures = [new Refused(0, "away"), new Refused(status, "no", body)];
    outbox.add(edit("create", "u1", annotation("u1")));
    await turn();
    await outbox.send();
    assert.deepEqual(heard.refused, outcome === "refused" ? ["u1 no"] : []);
    const kept = JSON.parse(shelf.text);
    assert.deepEqual(kept.map((/** @type {PendingEdit} */ { uuid }) => uuid), outcome === "kept" ? ["u1"] : []);
    assert.equal(state().isStuck, outcome === "kept");
    // The next page, whose token is valid, sends the kept edit.
    const next = setUp([1], shelf.text);
    await next.outbox.send();
    assert.deepEqual(next.server.calls, outcome === "kept" ? ["create u1"] : []);
    outbox.discard("img");
    await outbox.send();
  });
}

test("edits of an unavailable image block no edits of other images", async () => {
  const { outbox, server, heard, state } = setUp([100_000]);
  server.gone.add("lost");
  outbox.add({ ...edit("create", "u1", annotation("u1")), imageId: "lost" });
  outbox.add({ ...edit("change", "u1", { label: "cat" }), imageId: "lost" });
  outbox.add(edit("create", "u2", annotation("u2")));
  await turn();
  await outbox.send();
  assert.deepEqual(server.calls, ["create u2"]);
  assert.deepEqual([state().size, state().isStuck, heard.refused.length], [2, true, 0]);
  assert.deepEqual(state().problem, { status: 404, message: "no image", imageId: "lost" });
  server.gone.clear();
  await outbox.send();
  assert.deepEqual(server.calls, ["create u2", "create u1", "change a-u1 2"]);
  assert.deepEqual(state(), { size: 0, isStuck: false, problem: null });
});

test("discarded edits are not sent, and edits of other images are", async () => {
  const { outbox, server } = setUp([100_000]);
  server.gone.add("lost");
  outbox.add({ ...edit("create", "u1", annotation("u1")), imageId: "lost" });
  await turn();
  outbox.discard("lost");
  outbox.add(edit("create", "u2", annotation("u2")));
  await settled(outbox);
  assert.deepEqual(server.calls, ["create u2"]);
});

test("a response that is not of samjax's form rejects nothing", async () => {
  const responses = [
    { status: 404, body: "<h1>Not Found</h1>" },
    { status: 400, body: '{"detail": "no"}' },
    { status: 422, body: '{"error": {"code": "invalid", "message": "bad counts"}}' },
  ];
  const { fetch } = globalThis;
  const heard = [];
  for (const { status, body } of responses) {
    globalThis.fetch = async () => new Response(body, { status });
    const { create } = serverBackend("/api/v1");
    heard.push(await create("img", annotation("u1")).catch((/** @type {Refused} */ { status, isTemporary }) => [status, isTemporary]));
  }
  globalThis.fetch = fetch;
  assert.deepEqual(heard, [[0, true], [0, true], [422, false]]);
});

test("other clients' masks are merged, and unsaved edits stay", () => {
  const { masks, list, sent } = makeList();
  masks.open("img", []);
  assert.equal(masks.merge({ revision: 5, annotations: [saved("u1", 4), saved("u2", 5)], deleted: ["a-x"] }), 0);
  masks.change("u1", { label: "mine" });
  const theirs = { ...saved("u1", 7), label: "theirs" };
  assert.equal(masks.merge({ revision: 8, annotations: [theirs, saved("u3", 8)], deleted: ["a-u2"] }), 2);
  assert.deepEqual(list().map(({ uuid, label, state }) => [uuid, label, state]), [
    ["u1", "mine", "unsaved"],
    ["u3", "", "saved"],
  ]);
  assert.deepEqual(sent.map(({ kind, id, revision }) => [kind, id, revision]), [["change", "a-u1", 4]]);
});

test("a saved mask is not merged as another client's", () => {
  const { masks, list } = makeList();
  masks.open("img", []);
  masks.merge({ revision: 0, annotations: [], deleted: [] });
  masks.create(annotation("u1"), { area: 3, shape: shape() });
  assert.equal(masks.get("u1")?.state, "unsaved");
  masks.saved("u1", saved("u1", 1), true);
  assert.equal(masks.get("u1")?.state, "saved");
  assert.equal(masks.merge({ revision: 1, annotations: [saved("u1", 1)], deleted: [] }), 0);
  assert.equal(list().length, 1);
});

test("a removed mask is not in the list until it is restored", () => {
  const { masks, list, sent } = makeList();
  masks.open("img", []);
  masks.merge({ revision: 1, annotations: [saved("u1", 1)], deleted: [] });
  masks.remove("u1");
  assert.equal(list().length, 0);
  masks.saved("u1", null, true);
  assert.equal(masks.merge({ revision: 2, annotations: [], deleted: ["a-u1"] }), 0);
  masks.restore("u1");
  assert.equal(list().length, 1);
  assert.deepEqual(sent.map(({ kind }) => kind), ["remove", "restore"]);
});

test("pending edits are applied when their image is opened again", () => {
  const { masks, list } = makeList();
  masks.open("img", [edit("create", "u1", annotation("u1")), edit("change", "u1", { label: "cat" })]);
  assert.deepEqual(list().map(({ label, state }) => [label, state]), [["cat", "unsaved"]]);
});

test("the time of a mask excludes the time that the page was hidden", () => {
  let now = 0;
  const effort = new Effort(() => now);
  effort.begin();
  now = 4000;
  effort.begin();
  effort.pause(true);
  now = 60_000;
  effort.pause(false);
  now = 61_500;
  assert.equal(effort.measured.seconds, 5.5);
  assert.equal(effort.measured.active_seconds, 5.5);
  effort.stop();
  effort.pause(true);
  now = 70_000;
  effort.begin();
  assert.equal(effort.measured.seconds, 0);
});

test("of a pause between two inputs ten seconds are active", () => {
  let now = 0;
  const effort = new Effort(() => now);
  effort.begin();
  effort.count("clicks");
  for (const at of [3000, 9000, 49_000, 50_000]) {
    now = at;
    effort.touch();
  }
  effort.count("strokes");
  effort.count("undos");
  now = 80_000;
  const { seconds, active_seconds, clicks, strokes, undos } = effort.measured;
  assert.deepEqual([seconds, active_seconds], [80, 3 + 6 + 10 + 1 + 10]);
  assert.deepEqual([clicks, strokes, undos], [1, 1, 1]);
});

test("further work on a mask is added to what was counted before", () => {
  const more = { seconds: 2, active_seconds: 1.5, clicks: 1, strokes: 0, undos: 2 };
  assert.deepEqual(addEffort({ seconds: 3, active_seconds: 2, clicks: 4, strokes: 1, undos: 0 }, more), { seconds: 5, active_seconds: 3.5, clicks: 5, strokes: 1, undos: 2 });
  assert.deepEqual(addEffort({ seconds: 3, active_seconds: null, clicks: null, strokes: null, undos: null }, { seconds: 0 }), { seconds: 3, active_seconds: null, clicks: null, strokes: null, undos: null });
});

/**
 * @param {number[]} [pauses]
 * @param {string | null} [kept]
 */
function setUp(pauses = [1], kept = null) {
  const server = {
    /** @type {string[]} */
    calls: [],
    /** @type {Refused[]} */
    failures: [],
    revision: 0,
    /** Images that are missing. @type {Set<string>} */
    gone: new Set(),
    /** @param {string} call */
    respond(call) {
      const failure = this.failures.shift();
      if (failure) throw failure;
      this.calls.push(call);
      return ++this.revision;
    },
  };
  const backend = {
    create: async (/** @type {string} */ image, /** @type {AnnotationIn} */ { uuid }) => {
      if (server.gone.has(image)) throw new Refused(404, "no image", { error: { code: "not_found" } });
      return saved(uuid, server.respond(`create ${uuid}`));
    },
    change: async (/** @type {string} */ id, /** @type {number} */ revision) => saved(id.slice(2), server.respond(`change ${id} ${revision}`)),
    remove: async (/** @type {string} */ id, /** @type {number} */ revision) => void server.respond(`remove ${id} ${revision}`),
    restore: async (/** @type {string} */ id) => saved(id.slice(2), server.respond(`restore ${id}`)),
  };
  /** @type {{conflicts: string[], refused: string[]}} */
  const heard = { conflicts: [], refused: [] };
  const shelf = { text: kept ?? "[]" };
  const store = makeStore();
  store.on("conflict", ({ current }) => heard.conflicts.push(current.label));
  store.on("refused", ({ edit: { uuid }, message }) => heard.refused.push(`${uuid} ${message}`));
  const outbox = new Outbox(store, backend, { load: () => kept, save: (text) => (shelf.text = text) }, pauses);
  return { outbox, server, heard, shelf, state: () => store.state.outbox };
}

function makeList() {
  const store = makeStore();
  /** @type {PendingEdit[]} */
  const sent = [];
  store.on("edit", (pending) => sent.push(pending));
  return { masks: new MaskList(store), list: () => store.state.masks, sent };
}

/** Waits until pending requests have their responses. */
function turn() {
  return new Promise((done) => setTimeout(done, 1));
}

/** @param {Outbox} outbox */
async function settled(outbox) {
  for (let i = 0; i < 200 && outbox.of("img").length; i++) await new Promise((done) => setTimeout(done, 2));
  assert.equal(outbox.of("img").length, 0);
}

/**
 * @param {PendingEdit["kind"]} kind
 * @param {string} uuid
 * @param {Partial<AnnotationIn>} body
 * @returns {PendingEdit}
 */
function edit(kind, uuid, body) {
  return { kind, imageId: "img", uuid, id: null, revision: 0, body };
}

/**
 * @param {string} uuid
 * @returns {AnnotationIn}
 */
function annotation(uuid) {
  return {
    uuid,
    segmentation: { size: [2, 2], counts: "022" },
    label: "",
    prompts: { points: [], labels: [], box: null, mask: false, text: null },
    score: null,
    stability_score: null,
    source: "click",
    edited: false,
    level: null,
    seconds: 1,
    author: "",
  };
}

/**
 * @param {string} uuid
 * @param {number} revision
 * @returns {Annotation}
 */
function saved(uuid, revision) {
  return { ...annotation(uuid), id: `a-${uuid}`, image_id: "img", revision, area: 2 };
}

function shape() {
  return { outline: new Int32Array(0), size: /** @type {[number, number]} */ ([2, 2]) };
}
