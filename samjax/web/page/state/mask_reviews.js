/**
 * Reviews mask by mask: the reviewer accepts a mask, or returns it with a note. A verdict is
 * on one version of a mask: one that is changed has none. Verdicts are undone like edits.
 */

import { isProposed, targetOf } from "./decisions.js";
import { isBlank } from "./session.js";
import { messageOf } from "./state.js";

/** @typedef {import("../io/backend.js").MaskReview} MaskReview */
/** @typedef {import("../io/backend.js").TeamBackend} TeamBackend */
/** @typedef {import("./mask_list.js").Mask} Mask */
/** @typedef {import("./state.js").PageStore} PageStore */
/** @typedef {import("./state.js").State} State */

export class MaskReviews {
  #store;
  #backend;
  #decisions;
  #history;

  /**
   * @param {PageStore} store
   * @param {Pick<TeamBackend, "reviews" | "reviewMask"> | null} backend null without a team
   * @param {{decisions: import("./decisions.js").Decisions, history: import("./history.js").History}} parts
   */
  constructor(store, backend, { decisions, history }) {
    this.#store = store;
    this.#backend = backend;
    this.#decisions = decisions;
    this.#history = history;
    store.watch(["image"], () => void this.refresh());
  }

  /** Reads the verdicts on the masks of the open image. */
  async refresh() {
    const { image } = this.#store.state;
    this.#store.set({ reviews: [] });
    if (!image || !this.#backend) return;
    try {
      const reviews = await this.#backend.reviews(image.id);
      if (this.#store.state.image === image) this.#store.set({ reviews });
    } catch (error) {
      this.#store.emit("notice", { text: `Reviews were not read: ${messageOf(error)}`, kind: "problem" });
    }
  }

  /** Accepts the mask that a key is for; a proposal is taken. */
  acceptNext() {
    this.#judgeNext("accepted", (mask) => (isProposed(mask) ? this.#decisions.take([mask.uuid]) : this.judge(mask.uuid, "accepted")));
  }

  /**
   * Returns the mask that a key is for; a proposal is rejected.
   * @param {(run: (note: string) => void) => void} ask for the note
   */
  returnNext(ask) {
    this.#judgeNext("returned", (mask) => (isProposed(mask) ? this.#decisions.reject([mask.uuid]) : ask((note) => this.judge(mask.uuid, "returned", note))));
  }

  /**
   * @param {string} uuid of a mask
   * @param {"accepted" | "returned"} verdict
   * @param {string} [note] for the person who made it
   */
  judge(uuid, verdict, note = "") {
    const { masks, reviews, selected, team } = this.#store.state;
    const mask = masks.find((other) => other.uuid === uuid);
    if (!mask) return;
    if (!mask.id || mask.state !== "saved") {
      this.#store.emit("notice", { text: "The mask is still being saved: try again in a moment." });
      return;
    }
    const before = reviewOf(mask, reviews);
    const review = { annotation: mask.id, revision: mask.revision, verdict, note, reviewer: team?.name ?? "" };
    const judge = () => this.#put(mask, review);
    const undo = () => this.#put(mask, before ?? { ...review, verdict: "open", note: "" });
    this.#history.push({ name: verdict === "accepted" ? "accepting a mask" : "returning a mask", undo, redo: judge });
    judge();
    if (selected === uuid) this.#selectNext();
    this.#store.emit("announcement", `Mask ${verdict}.`);
  }

  /**
   * @param {"accepted" | "returned"} verdict
   * @param {(mask: Mask) => void} judge
   */
  #judgeNext(verdict, judge) {
    const { masks, reviews, session } = this.#store.state;
    if (!isBlank(session)) return;
    // The pointer may rest on a mask that has this verdict already.
    const others = masks.filter((mask) => isProposed(mask) || reviewOf(mask, reviews)?.verdict !== verdict);
    const mask = targetOf(this.#store.state, others);
    if (mask) judge(mask);
    else this.#selectNext();
  }

  #selectNext() {
    const { masks, reviews } = this.#store.state;
    const next = masks.find((mask) => isProposed(mask) || !reviewOf(mask, reviews));
    this.#store.set({ selected: next?.uuid ?? null });
  }

  /**
   * @param {Mask} mask
   * @param {MaskReview} review
   */
  #put(mask, review) {
    const others = this.#store.state.reviews.filter(({ annotation }) => annotation !== review.annotation);
    this.#store.set({ reviews: review.verdict === "open" ? others : [...others, review] });
    void this.#send(mask, review);
  }

  /**
   * @param {Mask} mask
   * @param {MaskReview} review
   */
  async #send({ id }, { revision, verdict, note }) {
    const { image, task } = this.#store.state;
    if (!this.#backend || !task || !id) return;
    try {
      // The server tells a mask that the reviewer has fixed itself.
      await this.#backend.reviewMask(id, { task: task.id, revision, verdict: verdict === "fixed" ? "accepted" : verdict, note });
    } catch (error) {
      this.#store.emit("notice", { text: `The verdict was not stored: ${messageOf(error)}`, kind: "problem" });
      if (this.#store.state.image === image) void this.refresh();
    }
  }
}

/**
 * @param {Pick<Mask, "id" | "revision">} mask
 * @param {readonly MaskReview[]} reviews
 * @returns {MaskReview | null} the verdict on the mask as it is
 */
export function reviewOf({ id, revision }, reviews) {
  return reviews.find((review) => review.annotation === id && review.revision === revision) ?? null;
}

/**
 * @param {Readonly<State>} state
 * @returns {boolean} whether the person reviews the open image
 */
export function isReviewing({ task, image }) {
  return task?.kind === "verify" && task.image_id === image?.id;
}

/**
 * @param {Readonly<State>} state
 * @returns {{seen: number, returned: number}} how many masks have a verdict, and how many are returned
 */
export function verdictsOf({ masks, reviews }) {
  const verdicts = masks.flatMap((mask) => reviewOf(mask, reviews)?.verdict ?? []);
  return { seen: verdicts.length, returned: verdicts.filter((verdict) => verdict === "returned").length };
}
