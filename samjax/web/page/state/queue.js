/** The queue of annotation tasks: the person's task, and how many tasks there are. */

import { messageOf } from "./state.js";

/** @typedef {import("../io/backend.js").Task} Task */
/** @typedef {import("../io/backend.js").Tasks} Tasks */
/** @typedef {import("./state.js").PageStore} PageStore */

const KIND = "annotate";
// A lease is 30 minutes; a mask saved within this time of a renewal renews it again.
const RENEWED_AFTER = 60_000;
const NAME = "samjax.person";

export class Queue {
  #store;
  #tasks;
  #memory;
  #now;
  #renewed = 0;

  /**
   * @param {PageStore} store
   * @param {Tasks | null} tasks null where there is no server
   * @param {Pick<Storage, "getItem" | "setItem">} memory keeps the person's name
   * @param {() => number} [now] in milliseconds
   */
  constructor(store, tasks, memory, now = Date.now) {
    this.#store = store;
    this.#tasks = tasks;
    this.#memory = memory;
    this.#now = now;
    store.set({ person: memory.getItem(NAME) ?? "" });
    store.on("saved", () => void this.#renew());
  }

  /** Counts the tasks. */
  async refresh() {
    if (!this.#tasks) return;
    try {
      const counts = (await this.#tasks.counts())[KIND] ?? {};
      const total = Object.values(counts).reduce((sum, count) => sum + count, 0);
      const left = (counts.open ?? 0) + (counts.leased ?? 0);
      this.#store.set({ queue: total ? { done: total - left, total } : null });
    } catch (error) {
      this.#report(error);
    }
  }

  /** @param {string} person */
  name(person) {
    const trimmed = person.trim();
    this.#memory.setItem(NAME, trimmed);
    this.#store.set({ person: trimmed });
  }

  /**
   * Claims the next task, or the one that the person has.
   * @returns {Promise<Task | null>} null where there is none, or no name
   */
  async claim() {
    const { person } = this.#store.state;
    if (!this.#tasks || !person) return null;
    try {
      const task = await this.#tasks.claim(person, KIND);
      this.#renewed = this.#now();
      this.#store.set({ task });
      if (!task) this.#store.emit("notice", { text: "No task is open: all are done, or somebody else has them." });
      return task;
    } catch (error) {
      this.#report(error);
      return null;
    }
  }

  /**
   * Ends the work on the task, and claims the next one.
   * @param {"done" | "skipped" | "flagged"} state
   * @param {string} [note] the reason
   * @returns {Promise<Task | null>} the next task
   */
  async finish(state, note = "") {
    const { task, person } = this.#store.state;
    if (!this.#tasks || !task) return null;
    try {
      await this.#tasks.finish(task.id, person, state, note);
    } catch (error) {
      this.#lost(error);
      return null;
    }
    const next = await this.claim();
    await this.refresh();
    return next;
  }

  async #renew() {
    const { task, person } = this.#store.state;
    if (!this.#tasks || !task || this.#now() - this.#renewed < RENEWED_AFTER) return;
    this.#renewed = this.#now();
    try {
      await this.#tasks.renew(task.id, person);
    } catch (error) {
      this.#lost(error);
    }
  }

  /** @param {unknown} error */
  #lost(error) {
    // Only an answer of the server says that the task is somebody else's.
    const { status } = /** @type {{status?: number}} */ (error ?? {});
    if (status === 404 || status === 409) this.#store.set({ task: null });
    this.#report(error);
  }

  /** @param {unknown} error */
  #report(error) {
    this.#store.emit("notice", { text: messageOf(error), kind: "problem" });
  }
}
