/** The dialog in which the user decides between two edits of a mask. */

import { byId, el } from "./dom.js";

/** @typedef {import("../state/state.js").Conflict} Conflict */
/** @typedef {import("../state/state.js").PageStore} PageStore */

/**
 * @param {PageStore} store
 * @param {import("../state/sync.js").Sync} sync
 */
export function makeConflictDialog(store, sync) {
  const dialog = /** @type {HTMLDialogElement} */ (byId("conflict"));
  store.watch(["conflicts"], ({ conflicts: [conflict] }) => {
    if (conflict && !dialog.open) open(conflict);
  });

  /** @param {Conflict} conflict */
  function open(conflict) {
    const { edit, current } = conflict;
    const isRemoval = edit.kind === "remove";
    const isInList = store.state.masks.some(({ uuid }) => uuid === edit.uuid);
    // Closed without a choice, as by Escape: nothing of the other client's is lost.
    /** @type {"theirs" | "mine" | "both"} */
    let kept = "theirs";
    const choice = (/** @type {typeof kept} */ value, /** @type {string} */ name) => {
      const onclick = () => {
        kept = value;
        dialog.close();
      };
      return el("button", { type: "button", class: "button", "data-testid": `keep-${value}`, onclick }, name);
    };
    dialog.replaceChildren(
      el("h2", { id: "conflict-title" }, "Somebody else changed this mask"),
      el("p", {}, `${current.label ? `“${current.label}”` : "The mask"} was changed while you ${isRemoval ? "deleted" : "changed"} it. Which edit is kept?`),
      el(
        "div",
        { class: "actions" },
        choice("theirs", "Keep theirs"),
        !isRemoval && isInList && choice("both", "Keep both"),
        choice("mine", isRemoval ? "Delete it" : "Keep mine"),
      ),
    );
    dialog.onclose = () => sync.resolve(conflict, kept);
    dialog.showModal();
  }
}
