/** What the page says: to those who look as a note that goes, and to screen readers. */

import { byId, el, icon, iconButton } from "./dom.js";

const SHOWN_FOR = 6000;

/**
 * Says something to screen readers only: what is plain to see.
 * @param {string} text
 */
export function announce(text) {
  const region = byId("announcer");
  region.textContent = "";
  // An empty region first, so that the same words are said again.
  requestAnimationFrame(() => (region.textContent = text));
}

/**
 * @param {string} text
 * @param {{kind?: "note" | "problem", action?: {name: string, run: () => void}}} [given]
 */
export function notify(text, { kind = "note", action } = {}) {
  const notices = byId("notices");
  for (const old of notices.children) if (old.getAttribute("data-text") === text) old.remove();
  const notice = el(
    "div",
    { class: `notice ${kind}`, role: kind === "problem" ? "alert" : "status", "data-testid": `${kind}-notice`, "data-text": text },
    kind === "problem" && icon("warning"),
    el("p", {}, text),
    action && el("button", { type: "button", class: "text-button", onclick: () => (notice.remove(), action.run()) }, action.name),
    iconButton("close", "Dismiss", () => notice.remove()),
  );
  notices.append(notice);
  while (notices.children.length > 3) notices.firstElementChild?.remove();
  // Problems stay until they are read.
  if (kind === "note") setTimeout(() => notice.remove(), SHOWN_FOR);
}

/**
 * @param {unknown} error
 * @returns {string}
 */
export function messageOf(error) {
  return error instanceof Error ? error.message : String(error);
}
