/** The queue of tasks: a bar above the gallery, and the buttons of the task that is open. */

import { hashOf } from "../core/address.js";
import { isProposed } from "../state/decisions.js";
import { verdictsOf } from "../state/mask_reviews.js";
import { isBlank } from "../state/session.js";
import { byId, el, replaceChildren } from "./dom.js";
import { askForReason } from "./reason_dialog.js";

/** @typedef {import("../io/backend.js").Me} Me */
/** @typedef {import("../io/backend.js").Task} Task */
/** @typedef {import("../io/backend.js").TaskKind} TaskKind */
/** @typedef {import("../state/queue.js").Queue} Queue */
/** @typedef {import("../state/state.js").PageStore} PageStore */

const REASONS = {
  skipped: { title: "Skip this image", label: "Why can it not be annotated?", action: "Skip" },
  flagged: { title: "Flag this image", label: "What should somebody look at?", action: "Flag" },
  returned: { title: "Return this image", label: "What is to be done?", action: "Return" },
};

/** @typedef {keyof typeof REASONS} Reason */

/**
 * @param {PageStore} store
 * @param {Queue} queue
 * @param {(id: string) => Promise<unknown>} known makes an image known to the page
 */
export function makeQueuePanel(store, queue, known) {
  const begin = async (/** @type {TaskKind} */ kind) => show(await queue.claim(kind));
  if (store.state.team) showTeam(store, begin);
  else showNameAndCount(store, queue, begin);

  const button = (/** @type {string} */ text, /** @type {string} */ id, /** @type {string} */ key, /** @type {() => unknown} */ run, kind = "button") =>
    el("button", { type: "button", class: kind, "data-testid": id, "data-key": id, title: `${text} (${key})`, onclick: run }, text);
  store.watch(["task", "image", "reviews", "masks"], ({ task }) => {
    byId("task").hidden = !isOpen();
    byId("task-note").hidden = !isOpen() || !task?.note;
    if (!isOpen()) return;
    const isReview = task?.kind === "verify";
    replaceChildren(byId("task"), [
      isReview ? button(verdictsOf(store.state).returned ? "Send back" : "Accept", "task-done", "C", done, "button primary") : button("Done", "task-done", "C", done, "button primary"),
      isReview && button("Return", "task-return", "W", giveBack),
      button("Skip", "task-skip", "X", skip),
      button("Flag", "task-flag", "Q", flag),
    ]);
    byId("task-note").replaceChildren(el("h2", {}, "Returned to you"), el("p", { "data-testid": "task-note" }, task?.note ?? ""));
  });

  /** The task and the number of proposals that the person was told of. */
  let told = "";

  function isOpen() {
    const { task, image } = store.state;
    return task !== null && image?.id === task.image_id;
  }

  /** @param {Task | null} task */
  async function show(task) {
    if (task) await known(task.image_id);
    location.hash = task ? hashOf(task.image_id) : "";
  }

  /** @returns {boolean} whether the image can be left */
  function isFree() {
    const { session, outbox } = store.state;
    if (!isBlank(session)) store.emit("notice", { text: "The mask is not accepted yet: press Enter to accept it, or Escape to discard it." });
    // The server takes no mask of an image that is under review.
    else if (outbox.size) store.emit("notice", { text: "Masks are still being saved: try again in a moment." });
    else return true;
    return false;
  }

  /** @returns {boolean} whether the person has decided on all proposals, or was told of the others */
  function isDecided() {
    const { task, masks } = store.state;
    const open = masks.filter(isProposed).length;
    const state = `${task?.id} ${open}`;
    if (!open || told === state) return true;
    told = state;
    const what = open === 1 ? "A proposal is" : `${open} proposals are`;
    store.emit("notice", { text: `${what} undecided, and would not count: take (Y) or reject (U) them, or press C again.`, action: { name: "Finish", run: () => void done() } });
    return false;
  }

  /** @param {() => Promise<Task | null>} end */
  async function leave(end) {
    const before = store.state.task;
    const next = await end();
    // Where the server cannot be reached, the task stays.
    if (store.state.task !== before) await show(next);
  }

  function done() {
    if (!isOpen() || !isFree() || !isDecided()) return;
    const isReview = store.state.task?.kind === "verify";
    const { returned } = verdictsOf(store.state);
    if (isReview && returned) return leave(() => queue.review("returned", `${returned} ${returned === 1 ? "mask is" : "masks are"} returned: see the notes beside them.`));
    return leave(() => (isReview ? queue.review("accepted") : queue.finish("done")));
  }

  /** @param {Reason} reason */
  function ask(reason) {
    if (!isOpen() || (reason === "returned" && !isFree())) return;
    askForReason(REASONS[reason], (note) => leave(() => (reason === "returned" ? queue.review("returned", note) : queue.finish(reason, note))));
  }

  function skip() {
    ask("skipped");
  }

  function flag() {
    ask("flagged");
  }

  function giveBack() {
    if (store.state.task?.kind === "verify") ask("returned");
  }

  return { done, skip, flag, giveBack, begin, isOpen };
}

/**
 * A field for the name, and how many tasks are finished, where there is no team.
 * @param {PageStore} store
 * @param {Queue} queue
 * @param {(kind: TaskKind) => unknown} start
 */
function showNameAndCount(store, queue, start) {
  const name = el("input", {
    type: "text",
    maxlength: 200,
    autocomplete: "name",
    placeholder: "Your name",
    "aria-label": "Your name",
    "data-testid": "person",
    oninput: () => queue.name(name.value),
  });
  const begin = el("button", { type: "submit", class: "button primary", "data-testid": "next-task" });
  const count = el("p", { role: "status", "data-testid": "queue-count" });
  const bar = el("progress", { "aria-label": "Finished tasks" });
  const form = el("form", { class: "actions" }, name, begin);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!store.state.person) name.focus();
    else start("annotate");
  });
  byId("queue").append(count, bar, form);
  name.value = store.state.person;

  store.watch(["queue", "task", "person"], ({ queue: counts, task, person }) => {
    byId("queue").hidden = !counts;
    if (!counts) return;
    bar.max = counts.total;
    bar.value = counts.done;
    count.textContent = `${counts.done} of ${counts.total} tasks finished`;
    begin.textContent = task ? "Go on with your image" : "Annotate the next image";
    begin.disabled = !person;
  });
}

/**
 * The person's own numbers, and the buttons that their role has.
 * @param {PageStore} store
 * @param {(kind: TaskKind) => unknown} start
 */
function showTeam(store, start) {
  const who = el("p", { class: "who" });
  const numbers = el("p", { role: "status", class: "facts", "data-testid": "queue-count" });
  const annotate = el("button", { type: "button", class: "button primary", "data-testid": "next-task", title: "C", disabled: true, onclick: () => start("annotate") });
  const review = el("button", { type: "button", class: "button", "data-testid": "next-review", title: "W", disabled: true, onclick: () => start("verify") });
  byId("queue").append(el("div", { class: "grow" }, who, numbers), el("div", { class: "actions" }, annotate, review));
  store.watch(["me", "task"], ({ me, task, team }) => {
    byId("queue").hidden = !me;
    if (!me || !team) return;
    who.replaceChildren(el("strong", {}, team.name), ` · ${team.role}`);
    numbers.textContent = ownNumbers(me);
    const { annotate: isWork, verify: isReview } = me.progress.is_left;
    annotate.textContent = task?.kind === "annotate" ? "Go on with your image" : "Annotate the next image";
    review.textContent = task?.kind === "verify" ? "Go on with your review" : "Review the next image";
    annotate.disabled = !isWork;
    review.disabled = !isReview;
    review.hidden = isReview === undefined;
  });
}

/**
 * @param {Me} me
 * @returns {string}
 */
export function ownNumbers({ progress, numbers, gold }) {
  const { masks, active_seconds_median: seconds, accepted, fixed, returned } = numbers;
  const facts = [`${progress.finished} ${progress.finished === 1 ? "image" : "images"} finished`];
  if (masks) facts.push(`${masks} ${masks === 1 ? "mask" : "masks"}`);
  if (seconds !== null && seconds !== undefined) facts.push(`${seconds.toFixed(0)} s a mask`);
  if ((accepted ?? 0) + (fixed ?? 0) + (returned ?? 0)) facts.push(`${accepted ?? 0} accepted, ${fixed ?? 0} fixed, ${returned ?? 0} returned`);
  const left = Object.values(progress.is_left).some(Boolean);
  if (!left) facts.push("nothing is left for you");
  if (gold) facts.push(`IoU ${gold.mean_iou === null ? "–" : gold.mean_iou.toFixed(2)} on ${gold.images} gold ${gold.images === 1 ? "image" : "images"}, ${gold.missed} missed, ${gold.extra} extra`);
  return facts.join(" · ");
}
