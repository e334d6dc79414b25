/** The queue of tasks in the page: one task at a time, renewed by work, lost politely. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Refused } from "../../../samjax/web/page/io/backend.js";
import { Queue } from "../../../samjax/web/page/state/queue.js";
import { makeStore } from "../../../samjax/web/page/state/state.js";

test("tasks are claimed, finished and counted", async () => {
  const { queue, store, calls } = setUp();
  await queue.refresh();
  assert.deepEqual(store.state.queue, { done: 1, total: 4 });
  assert.equal((await queue.claim())?.id, 1);
  assert.equal((await queue.finish("done"))?.id, 2);
  assert.equal(store.state.task?.id, 2);
  assert.equal(await queue.finish("skipped", "too dark"), null);
  assert.equal(store.state.task, null);
  assert.deepEqual(calls, ["claim ada", "finish 1 done ", "claim ada", "finish 2 skipped too dark", "claim ada"]);
});

test("nothing is claimed without a name, which the browser keeps", async () => {
  const { queue, store, calls, memory } = setUp("");
  assert.equal(await queue.claim(), null);
  assert.deepEqual(calls, []);
  queue.name(" Bob ");
  assert.equal(store.state.person, "Bob");
  assert.equal(memory.getItem("samjax.person"), "Bob");
  assert.equal((await queue.claim())?.id, 1);
});

test("saved masks renew the lease, at most once a minute", async () => {
  const { queue, store, calls, clock } = setUp();
  await queue.claim();
  const save = async (/** @type {number} */ after) => {
    clock.now += after;
    store.emit("saved", /** @type {any} */ ({}));
    await Promise.resolve();
  };
  await save(59_000);
  await save(2_000);
  await save(2_000);
  await save(60_000);
  assert.deepEqual(calls, ["claim ada", "renew 1", "renew 1"]);
});

test("a task that somebody else has by now is given up, and the reason is shown", async () => {
  const { queue, store, notices, failing } = setUp();
  await queue.claim();
  failing.with = new Refused(409, "it is somebody else's");
  assert.equal(await queue.finish("done"), null);
  assert.equal(store.state.task, null);
  assert.deepEqual(notices, ["it is somebody else's"]);
});

test("a task stays while the server cannot be reached", async () => {
  const { queue, store, notices, failing } = setUp();
  await queue.claim();
  failing.with = new Refused(0, "away");
  assert.equal(await queue.finish("done"), null);
  assert.equal(store.state.task?.id, 1);
  assert.deepEqual(notices, ["away"]);
  failing.with = null;
  assert.equal((await queue.finish("done"))?.id, 2);
});

test("there is no queue in the demo", async () => {
  const store = makeStore();
  const queue = new Queue(store, null, memoryOf("ada"));
  await queue.refresh();
  assert.equal(await queue.claim(), null);
  assert.equal(store.state.queue, null);
});

test("of a team the server knows the person, and reviews end with a verdict", async () => {
  const store = makeStore();
  store.set({ team: { name: "Rex", role: "reviewer", blind: true, hint_seconds: 30 } });
  /** @type {unknown[]} */
  const calls = [];
  /** @type {any} */
  const me = { name: "Rex", role: "reviewer", progress: { finished: 2, is_left: {}, counts: null }, numbers: {}, gold: null };
  const tasks = {
    counts: async () => assert.fail("gold images could be told by the counts"),
    claim: async (/** @type {string} */ person, /** @type {import("../../../samjax/web/page/io/backend.js").TaskKind} */ kind) => {
      calls.push(["claim", person, kind]);
      return calls.length === 1 ? { id: 7, image_id: "i", image: "i.png", kind, note: "" } : null;
    },
    renew: async () => {},
    finish: async () => {},
  };
  const team = { me: async () => me, review: async (/** @type {unknown[]} */ ...given) => void calls.push(["review", ...given]) };
  const clock = { now: 0 };
  const queue = new Queue(store, tasks, memoryOf("Somebody Else"), () => clock.now, team);
  assert.equal(store.state.person, "Rex");
  await queue.refresh();
  assert.equal(store.state.me, me);
  await queue.claim("verify");
  // Of a pause of 30 seconds ten are active, and the page is hidden for a minute.
  clock.now += 30_000;
  queue.touch();
  queue.pause(true);
  clock.now += 60_000;
  queue.pause(false);
  clock.now += 2000;
  assert.equal(await queue.review("returned", "the tail"), null);
  const times = { seconds: 32, active_seconds: 12 };
  assert.deepEqual(calls, [["claim", "Rex", "verify"], ["review", 7, "returned", "the tail", times], ["claim", "Rex", "verify"]]);
});

/** @param {string} text */
function memoryOf(text) {
  const kept = new Map([["samjax.person", text]]);
  return {
    getItem: (/** @type {string} */ key) => kept.get(key) ?? null,
    setItem: (/** @type {string} */ key, /** @type {string} */ value) => void kept.set(key, value),
  };
}

function setUp(person = "ada") {
  const store = makeStore();
  const memory = memoryOf(person);
  const clock = { now: 0 };
  /** @type {string[]} */
  const calls = [];
  /** @type {{with: Error | null}} */
  const failing = { with: null };
  const open = [1, 2];
  const tasks = {
    counts: async () => ({ annotate: { open: 2, leased: 1, done: 1 }, audit: { open: 9 } }),
    claim: async (/** @type {string} */ name) => {
      calls.push(`claim ${name}`);
      const id = open.shift();
      return id ? { id, image_id: `image ${id}`, image: `${id}.png`, kind: /** @type {const} */ ("annotate"), note: "" } : null;
    },
    renew: async (/** @type {number} */ id) => void calls.push(`renew ${id}`),
    finish: async (/** @type {number} */ id, /** @type {string} */ _, /** @type {string} */ state, /** @type {string} */ note) => {
      if (failing.with) throw failing.with;
      calls.push(`finish ${id} ${state} ${note}`);
    },
  };
  const queue = new Queue(store, tasks, memory, () => clock.now);
  /** @type {string[]} */
  const notices = [];
  store.on("notice", ({ kind, text }) => kind === "problem" && notices.push(text));
  return { queue, store, calls, memory, clock, failing, notices };
}
