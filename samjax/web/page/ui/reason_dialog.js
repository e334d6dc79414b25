/** The dialog that asks for a reason or a note. */

import { byId, el } from "./dom.js";

/**
 * @param {{title: string, label: string, action: string}} texts
 * @param {(reason: string) => unknown} run called with a reason that is not empty
 */
export function askForReason({ title, label, action }, run) {
  const dialog = /** @type {HTMLDialogElement} */ (byId("reason"));
  const input = el("input", { type: "text", maxlength: 2000, required: true, autocomplete: "off", "data-testid": "reason-text" });
  const form = el(
    "form",
    { method: "dialog" },
    el("h2", { id: "reason-title" }, title),
    el("label", { class: "field" }, el("span", {}, label), input),
    el(
      "div",
      { class: "actions" },
      el("button", { type: "submit", class: "button primary", "data-testid": "reason-ok" }, action),
      el("button", { type: "button", class: "button", "data-testid": "reason-cancel", onclick: () => dialog.close() }, "Cancel"),
    ),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!input.value.trim()) return;
    dialog.close();
    void run(input.value.trim());
  });
  dialog.replaceChildren(form);
  dialog.showModal();
}
