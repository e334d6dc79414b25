/** The queue of annotation tasks: the person's task, and how many tasks there are. */

import { Effort } from "./effort.js";
import { messageOf } from "./state.js";

/** @typedef {import("../io/backend.js").Task} Task */
/** @typedef {import("../io/backend.js").TaskKind} TaskKind */
/** @typedef {import("../io/backend.js").Tasks} Tasks */
/** @typedef {import("../io/backend.js").TeamBackend} TeamBackend */
/** @typedef {import("./state.js").PageStore} PageStore */

// A lease is 30 minutes; a mask saved within this time of a renewal renews it again.
const RENEWED_AFTER = 60_000;
const NAME = "samjax.person";

export class Queue {
  #store;
  #tasks;
  #team;
  #memory;
  #now;
  #renewed = 0;
  /** Effort of the open review. */
  #effort;

  /**
   * @param {PageStore} store
   * @param {Tasks | null} tasks null where there is no server
   * @param {Pick<Storage, "getItem" | "setItem">} memory keeps the person's name
   * @param {() => number} [now] in milliseconds
   * @param {Pick<TeamBackend, "me" | "review"> | null} [team]
   */
  constructor(store, tasks, memory, now = Date.now, team = null) {
    this.#store = store;
    this.#tasks = tasks;
    this.#team = team;
    this.#memory = memory;
    this.#now = now;
    this.#effort = new Effort(now);
    // A team's server knows the person by the token.
    store.set({ person: store.state.team?.name ?? memory.getItem(NAME) ?? "" });
    store.on("saved", () => void this.#renew());
  }

  /** @param {boolean} isPaused whether the time of the review stands still */
  pause(isPaused) {
    this.#effort.pause(isPaused);
  }

  /** Notes an input of any kind, for the active time of the review. */
  touch() {
    this.#effort.touch();
  }

  /** Counts the tasks; of a team, those of the person. */
  async refresh() {
    if (!this.#tasks) return;
    try {
      if (this.#team && this.#store.state.team) {
        this.#store.set({ me: await this.#team.me() });
        return;
      }
      const counts = (await this.#tasks.counts()).annotate ?? {};
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
   * @param {TaskKind} [kind]
   * @returns {Promise<Task | null>} null where there is none, or no name
   */
  async claim(kind = "annotate") {
    const { person } = this.#store.state;
    if (!this.#tasks || !person) return null;
    try {
      const task = await this.#tasks.claim(person, kind);
      this.#renewed = this.#now();
      if (task?.id !== this.#store.state.task?.id) this.#effort.stop();
      if (task?.kind === "verify") this.#effort.begin();
      this.#store.set({ task });
      const text = kind === "verify" ? "Nothing is to be reviewed by you now." : "No task is open: all are done, or somebody else has them.";
      if (!task) this.#store.emit("notice", { text });
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
  finish(state, note = "") {
    const { task, person } = this.#store.state;
    return this.#end(() => task && this.#tasks?.finish(task.id, person, state, note));
  }

  /**
   * Ends the review of the task's image, and claims the next one.
   * @param {"accepted" | "returned"} verdict
   * @param {string} [note] for the person who made the masks
   * @returns {Promise<Task | null>} the next task
   */
  review(verdict, note = "") {
    const { task } = this.#store.state;
    const { seconds, active_seconds } = this.#effort.measured;
    return this.#end(() => task && this.#team?.review(task.id, verdict, note, { seconds, active_seconds }));
  }

  /** @param {() => Promise<void> | null | undefined} send */
  async #end(send) {
    const { task } = this.#store.state;
    if (!this.#tasks || !task) return null;
    try {
      await send();
    } catch (error) {
      this.#lost(error);
      return null;
    }
    const next = await this.claim(task.kind);
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
