/** Notices on the screen, and announcements for screen readers. */

import { byId, el, icon, iconButton } from "./dom.js";

/** @typedef {import("../state/state.js").Notice} Notice */
/** @typedef {import("../state/state.js").PageStore} PageStore */

const SHOWN_FOR = 6000;
const MAX_NOTICES = 3;

/** @param {PageStore} store */
export function showNotices(store) {
  store.on("notice", notify);
  store.on("announcement", announce);
}

/** @param {string} text */
function announce(text) {
  const region = byId("announcer");
  region.textContent = "";
  // Emptied first: a live region whose text stays the same is not read again.
  requestAnimationFrame(() => (region.textContent = text));
}

/** @param {Notice} notice */
export function notify({ text, kind = "note", action }) {
  const notices = byId("notices");
  for (const old of notices.children) if (old.getAttribute("data-text") === text) old.remove();
  const run = () => {
    notice.remove();
    action?.run();
  };
  const notice = el(
    "div",
    { class: `notice ${kind}`, role: kind === "problem" ? "alert" : "status", "data-testid": `${kind}-notice`, "data-text": text },
    kind === "problem" && icon("warning"),
    el("p", {}, text),
    action && el("button", { type: "button", class: "text-button", onclick: run }, action.name),
    iconButton("close", "Dismiss", () => notice.remove()),
  );
  notices.append(notice);
  while (notices.children.length > MAX_NOTICES) notices.firstElementChild?.remove();
  // Problems stay until they are dismissed.
  if (kind === "note") setTimeout(() => notice.remove(), SHOWN_FOR);
}
