/** What is made in the page gets to the server once, in order, and is never lost. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Refused } from "../../../samjax/web/page/io/backend.js";
import { serverBackend } from "../../../samjax/web/page/io/server_backend.js";
import { MaskStore } from "../../../samjax/web/page/state/mask_list.js";
import { Outbox } from "../../../samjax/web/page/io/outbox.js";
import { Stopwatch } from "../../../samjax/web/page/state/stopwatch.js";

/** @typedef {import("../../../samjax/web/page/io/backend.js").Annotation} Annotation */
/** @typedef {import("../../../samjax/web/page/io/backend.js").AnnotationIn} AnnotationIn */
/** @typedef {import("../../../samjax/web/page/io/outbox.js").Errand} Errand */

test("a mask that is changed before it is created gets its id from the answer", async () => {
  const { outbox, server } = setUp();
  outbox.add(errand("create", "u1", annotation("u1")));
  outbox.add(errand("change", "u1", { label: "cat" }));
  outbox.add(errand("remove", "u1", {}));
  outbox.add(errand("restore", "u1", {}));
  await settled(outbox);
  assert.deepEqual(server.calls, ["create u1", "change a-u1 1", "remove a-u1 2", "restore a-u1"]);
});

test("what the network loses is sent again, in its order", async () => {
  const { outbox, server, shelf } = setUp();
  server.failures = [new Refused(0, "away"), new Refused(503, "full"), new Refused(0, "away")];
  outbox.add(errand("create", "u1", annotation("u1")));
  outbox.add(errand("create", "u2", annotation("u2")));
  assert.equal(JSON.parse(shelf.text).length, 2);
  await settled(outbox);
  assert.deepEqual(server.calls, ["create u1", "create u2"]);
  assert.deepEqual(JSON.parse(shelf.text), []);
  assert.ok(!outbox.isStuck);
});

test("while nothing gets through, the outbox says so", async () => {
  const { outbox, server } = setUp([300]);
  server.failures = [new Refused(0, "away")];
  outbox.add(errand("create", "u1", annotation("u1")));
  await new Promise((done) => setTimeout(done, 5));
  assert.deepEqual([outbox.isStuck, outbox.size], [true, 1]);
  await outbox.send();
  assert.deepEqual([outbox.isStuck, outbox.size], [false, 0]);
});

test("what was unsaved when the page closed is sent by the next one", async () => {
  const first = setUp([300]);
  first.server.failures = [new Refused(0, "away")];
  first.outbox.add(errand("create", "u1", annotation("u1")));
  await new Promise((done) => setTimeout(done, 5));
  const next = setUp([1], first.shelf.text);
  assert.equal(next.outbox.of("img").length, 1);
  await next.outbox.send();
  assert.deepEqual(next.server.calls, ["create u1"]);
  for (const spoilt of ["damaged", "null", "{}"]) assert.equal(setUp([1], spoilt).outbox.size, 0);
});

test("a conflict is handed on with what the server has, and is not sent again", async () => {
  const { outbox, server, heard } = setUp();
  const current = { ...saved("u1", 9), label: "theirs" };
  server.failures = [new Refused(409, "changed", { error: {}, annotation: current })];
  outbox.add({ ...errand("change", "u1", { label: "mine" }), id: "a-u1", revision: 3 });
  outbox.add(errand("create", "u2", annotation("u2")));
  await settled(outbox);
  assert.deepEqual(heard.conflicts, ["theirs"]);
  assert.deepEqual(server.calls, ["create u2"]);
});

test("what the server refuses is told, and holds up nothing", async () => {
  const { outbox, server, heard } = setUp();
  server.failures = [new Refused(422, "too many points")];
  outbox.add(errand("create", "u1", annotation("u1")));
  outbox.add(errand("create", "u2", annotation("u2")));
  await settled(outbox);
  assert.deepEqual(heard.refused, ["u1 too many points"]);
  assert.deepEqual(server.calls, ["create u2"]);
});

/**
 * What a server, or something in its place, may say to a mask; and whether the page keeps
 * it, or tells that it is refused.
 * @type {[number, string | null, "kept" | "refused"][]}
 */
const ANSWERS = [
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

for (const [status, code, outcome] of ANSWERS) {
  test(`a mask that is answered with ${status} ${code} is ${outcome}`, async () => {
    const { outbox, server, heard, shelf } = setUp([100_000]);
    const body = code && { error: { code, message: "no" } };
    server.failures = [new Refused(0, "away"), new Refused(status, "no", body)];
    outbox.add(errand("create", "u1", annotation("u1")));
    await turn();
    await outbox.send();
    assert.deepEqual(heard.refused, outcome === "refused" ? ["u1 no"] : []);
    const kept = JSON.parse(shelf.text);
    assert.deepEqual(kept.map((/** @type {Errand} */ { uuid }) => uuid), outcome === "kept" ? ["u1"] : []);
    assert.equal(outbox.isStuck, outcome === "kept");
    // The next page, whose token is right, sends what was kept.
    const next = setUp([1], shelf.text);
    await next.outbox.send();
    assert.deepEqual(next.server.calls, outcome === "kept" ? ["create u1"] : []);
    outbox.discard("img");
    await outbox.send();
  });
}

test("a mask whose image is not to be had holds up no mask of another image", async () => {
  const { outbox, server, heard } = setUp([100_000]);
  server.gone.add("lost");
  outbox.add({ ...errand("create", "u1", annotation("u1")), imageId: "lost" });
  outbox.add({ ...errand("change", "u1", { label: "cat" }), imageId: "lost" });
  outbox.add(errand("create", "u2", annotation("u2")));
  await turn();
  await outbox.send();
  assert.deepEqual(server.calls, ["create u2"]);
  assert.deepEqual([outbox.size, outbox.isStuck, heard.refused.length], [2, true, 0]);
  assert.deepEqual(outbox.problem, { status: 404, message: "no image", imageId: "lost" });
  server.gone.clear();
  await outbox.send();
  assert.deepEqual(server.calls, ["create u2", "create u1", "change a-u1 2"]);
  assert.deepEqual([outbox.size, outbox.isStuck, outbox.problem], [0, false, null]);
});

test("what is given up is sent no more, and takes nothing else with it", async () => {
  const { outbox, server } = setUp([100_000]);
  server.gone.add("lost");
  outbox.add({ ...errand("create", "u1", annotation("u1")), imageId: "lost" });
  await turn();
  outbox.discard("lost");
  outbox.add(errand("create", "u2", annotation("u2")));
  await settled(outbox);
  assert.deepEqual(server.calls, ["create u2"]);
});

test("an answer that is not of our form comes from something else, and refuses nothing", async () => {
  const answers = [
    { status: 404, body: "<h1>Not Found</h1>" },
    { status: 400, body: '{"detail": "no"}' },
    { status: 422, body: '{"error": {"code": "invalid", "message": "bad counts"}}' },
  ];
  const { fetch } = globalThis;
  const heard = [];
  for (const { status, body } of answers) {
    globalThis.fetch = async () => new Response(body, { status });
    const { create } = serverBackend("/api/v1");
    heard.push(await create("img", annotation("u1")).catch((/** @type {Refused} */ { status, isPassing }) => [status, isPassing]));
  }
  globalThis.fetch = fetch;
  assert.deepEqual(heard, [[0, true], [0, true], [422, false]]);
});

test("others' masks come in, and what is unsaved here stays", () => {
  const { store, sent } = makeStore();
  store.open("img", []);
  assert.equal(store.merge({ revision: 5, annotations: [saved("u1", 4), saved("u2", 5)], deleted: ["a-x"] }), 0);
  store.change("u1", { label: "mine" });
  const theirs = { ...saved("u1", 7), label: "theirs" };
  assert.equal(store.merge({ revision: 8, annotations: [theirs, saved("u3", 8)], deleted: ["a-u2"] }), 2);
  assert.deepEqual(store.list.map(({ uuid, label, state }) => [uuid, label, state]), [
    ["u1", "mine", "unsaved"],
    ["u3", "", "saved"],
  ]);
  assert.deepEqual(sent.map(({ kind, id, revision }) => [kind, id, revision]), [["change", "a-u1", 4]]);
});

test("what was saved here does not come back as somebody else's", () => {
  const { store } = makeStore();
  store.open("img", []);
  store.merge({ revision: 0, annotations: [], deleted: [] });
  store.create(annotation("u1"), 3, shape());
  assert.equal(store.get("u1")?.state, "unsaved");
  store.saved("u1", saved("u1", 1), true);
  assert.equal(store.get("u1")?.state, "saved");
  assert.equal(store.merge({ revision: 1, annotations: [saved("u1", 1)], deleted: [] }), 0);
  assert.equal(store.list.length, 1);
});

test("a removed mask is out of the list until it is restored", () => {
  const { store, sent } = makeStore();
  store.open("img", []);
  store.merge({ revision: 1, annotations: [saved("u1", 1)], deleted: [] });
  store.remove("u1");
  assert.equal(store.list.length, 0);
  store.saved("u1", null, true);
  assert.equal(store.merge({ revision: 2, annotations: [], deleted: ["a-u1"] }), 0);
  store.restore("u1");
  assert.equal(store.list.length, 1);
  assert.deepEqual(sent.map(({ kind }) => kind), ["remove", "restore"]);
});

test("masks that were not sent yet show when their image is opened again", () => {
  const { store } = makeStore();
  store.open("img", [errand("create", "u1", annotation("u1")), errand("change", "u1", { label: "cat" })]);
  assert.deepEqual(store.list.map(({ label, state }) => [label, state]), [["cat", "unsaved"]]);
});

test("the time of a mask leaves out when the page was hidden", () => {
  let now = 0;
  const watch = new Stopwatch(() => now);
  watch.begin();
  now = 4000;
  watch.begin();
  watch.pause(true);
  now = 60_000;
  watch.pause(false);
  now = 61_500;
  assert.equal(watch.seconds, 5.5);
  watch.stop();
  watch.pause(true);
  now = 70_000;
  watch.begin();
  assert.equal(watch.seconds, 0);
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
    /** Images that are not there. @type {Set<string>} */
    gone: new Set(),
    /** @param {string} call */
    answer(call) {
      const failure = this.failures.shift();
      if (failure) throw failure;
      this.calls.push(call);
      return ++this.revision;
    },
  };
  const backend = {
    create: async (/** @type {string} */ image, /** @type {AnnotationIn} */ { uuid }) => {
      if (server.gone.has(image)) throw new Refused(404, "no image", { error: { code: "not_found" } });
      return saved(uuid, server.answer(`create ${uuid}`));
    },
    change: async (/** @type {string} */ id, /** @type {number} */ revision) => saved(id.slice(2), server.answer(`change ${id} ${revision}`)),
    remove: async (/** @type {string} */ id, /** @type {number} */ revision) => void server.answer(`remove ${id} ${revision}`),
    restore: async (/** @type {string} */ id) => saved(id.slice(2), server.answer(`restore ${id}`)),
  };
  /** @type {{conflicts: string[], refused: string[]}} */
  const heard = { conflicts: [], refused: [] };
  const shelf = { text: kept ?? "[]" };
  const outbox = new Outbox(
    backend,
    {
      onSaved: () => {},
      onConflict: (_, { label }) => heard.conflicts.push(label),
      onRefused: ({ uuid }, message) => heard.refused.push(`${uuid} ${message}`),
      onChange: () => {},
    },
    { load: () => kept, save: (text) => (shelf.text = text) },
    pauses,
  );
  return { outbox, server, heard, shelf };
}

function makeStore() {
  /** @type {Errand[]} */
  const sent = [];
  const store = new MaskStore({ send: (one) => sent.push(one), draw: () => {}, onChange: () => {} });
  return { store, sent };
}

/** Lets what was sent be answered. */
function turn() {
  return new Promise((done) => setTimeout(done, 1));
}

/** @param {Outbox} outbox */
async function settled(outbox) {
  for (let i = 0; i < 200 && outbox.size; i++) await new Promise((done) => setTimeout(done, 2));
  assert.equal(outbox.size, 0);
}

/**
 * @param {Errand["kind"]} kind
 * @param {string} uuid
 * @param {Partial<AnnotationIn>} body
 * @returns {Errand}
 */
function errand(kind, uuid, body) {
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
