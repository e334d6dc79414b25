/** The queue of tasks: a bar above the gallery, and the buttons of the task that is open. */

import { hashOf } from "../core/address.js";
import { isBlank } from "../state/session.js";
import { byId, el, replaceChildren } from "./dom.js";

/** @typedef {import("../io/backend.js").Task} Task */
/** @typedef {import("../state/queue.js").Queue} Queue */
/** @typedef {import("../state/state.js").PageStore} PageStore */

const REASONS = {
  skipped: { title: "Skip this image", label: "Why can it not be annotated?", action: "Skip" },
  flagged: { title: "Flag this image", label: "What should somebody look at?", action: "Flag" },
};

/**
 * @param {PageStore} store
 * @param {Queue} queue
 */
export function makeQueuePanel(store, queue) {
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
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!store.state.person) name.focus();
    else show(await queue.claim());
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

  const button = (/** @type {string} */ text, /** @type {string} */ id, /** @type {() => unknown} */ run, kind = "button") =>
    el("button", { type: "button", class: kind, "data-testid": id, onclick: run }, text);
  replaceChildren(byId("task"), [
    button("Done", "task-done", () => finish("done"), "button primary"),
    button("Skip", "task-skip", () => ask("skipped")),
    button("Flag", "task-flag", () => ask("flagged")),
  ]);
  store.watch(["task", "image"], ({ task, image }) => {
    byId("task").hidden = !isOpen();
    const note = task && image?.id === task.image_id ? task.note : "";
    if (note) store.emit("notice", { text: `Note on this task: ${note}` });
  });

  function isOpen() {
    const { task, image } = store.state;
    return task !== null && image?.id === task.image_id;
  }

  /** @param {Task | null} task */
  function show(task) {
    location.hash = task ? hashOf(task.image_id) : "";
  }

  /**
   * @param {"done" | "skipped" | "flagged"} state
   * @param {string} [note]
   */
  async function finish(state, note) {
    if (!isOpen()) return;
    if (state === "done" && !isBlank(store.state.session)) {
      store.emit("notice", { text: "The mask is not accepted yet: press Enter to accept it, or Escape to discard it." });
      return;
    }
    const before = store.state.task;
    const next = await queue.finish(state, note);
    // Where the server cannot be reached, the task stays.
    if (store.state.task !== before) show(next);
  }

  /** @param {"skipped" | "flagged"} state */
  function ask(state) {
    if (!isOpen()) return;
    const dialog = /** @type {HTMLDialogElement} */ (byId("reason"));
    const { title, label, action } = REASONS[state];
    const input = el("input", { type: "text", maxlength: 2000, required: true, "data-testid": "reason-text" });
    const form = el(
      "form",
      { method: "dialog" },
      el("h2", { id: "reason-title" }, title),
      el("label", { class: "field" }, el("span", {}, label), input),
      el(
        "div",
        { class: "actions" },
        el("button", { type: "submit", class: "button primary", "data-testid": "reason-ok" }, action),
        button("Cancel", "reason-cancel", () => dialog.close()),
      ),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (!input.value.trim()) return;
      dialog.close();
      void finish(state, input.value.trim());
    });
    dialog.replaceChildren(form);
    dialog.showModal();
  }

  return { done: () => finish("done"), skip: () => ask("skipped"), flag: () => ask("flagged"), isOpen };
}
