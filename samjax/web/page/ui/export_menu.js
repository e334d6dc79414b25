/** The menu that exports masks. */

import { messageOf } from "../state/state.js";
import { byId, el, icon } from "./dom.js";

/** @typedef {import("../io/backend.js").Backend} Backend */
/** @typedef {import("../io/backend.js").ImageEntry} ImageEntry */
/** @typedef {import("../state/state.js").PageStore} PageStore */
/** @typedef {"sa1b" | "coco" | "png"} Format */

/** @type {[Format, string][]} */
const FORMATS = [["sa1b", "SA-1B JSON"], ["coco", "COCO JSON"], ["png", "PNG label maps"]];

/**
 * @param {PageStore} store
 * @param {Pick<Backend, "mode" | "exportFile">} backend
 */
export function makeExportMenu(store, backend) {
  const menu = /** @type {HTMLDetailsElement} */ (byId("export"));
  const items = /** @type {HTMLElement} */ (menu.querySelector(".menu-items"));
  menu.querySelector("summary")?.append(icon("export"));

  const fill = () => {
    const { image } = store.state;
    /** Null for all images. @type {(ImageEntry | null)[]} */
    const scopes = image ? [image] : [];
    // The demo exports the masks of one image at a time.
    if (backend.mode === "server" || !image) scopes.push(null);
    items.replaceChildren(
      ...scopes.flatMap((scope) => [
        el("p", { class: "menu-title" }, scope ? "This image" : "All images"),
        ...FORMATS.map(([format, name]) =>
          el("button", { type: "button", "data-testid": `export-${format}-${scope ? "one" : "all"}`, onclick: () => download(format, scope) }, name),
        ),
      ]),
    );
  };

  /**
   * @param {Format} format
   * @param {ImageEntry | null} image
   */
  async function download(format, image) {
    menu.open = false;
    try {
      const { url, name } = await backend.exportFile(format, image);
      el("a", { href: url, download: name }).click();
      if (url.startsWith("blob:")) setTimeout(() => URL.revokeObjectURL(url), 10_000);
    } catch (error) {
      store.emit("notice", { text: messageOf(error), kind: "problem" });
    }
  }

  menu.addEventListener("toggle", () => menu.open && fill());
  document.addEventListener("click", ({ target }) => {
    if (target instanceof Node && !menu.contains(target)) menu.open = false;
  });
  menu.addEventListener("keydown", ({ key }) => {
    if (key !== "Escape" || !menu.open) return;
    menu.open = false;
    menu.querySelector("summary")?.focus();
  });
}
