/** The project's instructions, as a dialog. */

import { readMarkdown } from "../core/markdown.js";
import { messageOf } from "../state/state.js";
import { byId, el, iconButton } from "./dom.js";

/** @typedef {import("../core/markdown.js").Block} Block */
/** @typedef {import("../core/markdown.js").Inline} Inline */

/**
 * @param {import("../state/state.js").PageStore} store
 * @param {Pick<import("../io/backend.js").TeamBackend, "instructions">} team
 */
export async function showInstructions(store, team) {
  try {
    const text = await team.instructions();
    const dialog = /** @type {HTMLDialogElement} */ (byId("instructions"));
    const close = iconButton("close", "Close", () => dialog.close(), { autofocus: true });
    const blocks = readMarkdown(text);
    dialog.replaceChildren(
      el("header", {}, el("h2", { id: "instructions-title" }, "Instructions"), close),
      el("div", { class: "prose" }, ...(blocks.length ? blocks.map(blockOf) : [el("p", {}, "There are none yet.")])),
    );
    dialog.onclick = (event) => event.target === dialog && dialog.close();
    dialog.showModal();
  } catch (error) {
    store.emit("notice", { text: messageOf(error), kind: "problem" });
  }
}

/**
 * Text becomes text nodes only: nothing of the file is parsed as HTML.
 * @param {Block} block
 * @returns {HTMLElement}
 */
function blockOf(block) {
  switch (block.kind) {
    case "heading":
      // The dialog has the heading above.
      return el(block.level < 3 ? "h3" : "h4", {}, ...block.parts.map(inlineOf));
    case "list":
      return el(block.isOrdered ? "ol" : "ul", {}, ...block.items.map((parts) => el("li", {}, ...parts.map(inlineOf))));
    case "code":
      return el("pre", {}, block.text);
    case "rule":
      return el("hr");
    case "quote":
      return el("blockquote", {}, ...block.parts.map(inlineOf));
    default:
      return el("p", {}, ...block.parts.map(inlineOf));
  }
}

/**
 * @param {Inline} part
 * @returns {Node | string}
 */
function inlineOf(part) {
  switch (part.kind) {
    case "link":
      return el("a", { href: part.href, target: "_blank", rel: "noopener noreferrer" }, part.text);
    case "strong":
      return el("strong", {}, part.text);
    case "emphasis":
      return el("em", {}, part.text);
    case "code":
      return el("code", {}, part.text);
    default:
      return part.text;
  }
}
