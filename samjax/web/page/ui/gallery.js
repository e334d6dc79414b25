/** The gallery: the images of the folder as cards. */

import { hashOf } from "../core/address.js";
import { messageOf } from "../state/state.js";
import { byId, el, icon } from "./dom.js";

/** @typedef {import("../io/backend.js").Backend} Backend */
/** @typedef {import("../io/backend.js").ImageEntry} ImageEntry */

// Cards made at a time: a folder may have many thousands of images.
const BATCH = 60;

export class Gallery {
  /** @type {ImageEntry[]} */
  images = [];
  #backend;
  #store;
  #shown = 0;
  #total = 0;
  #isLoaded = false;
  #filter = "";
  /** @type {ImageEntry[]} */
  #matching = [];
  /** @type {Map<string, string>} */
  #thumbnails = new Map();

  /**
   * @param {import("../state/state.js").PageStore} store
   * @param {Backend} backend
   */
  constructor(store, backend) {
    this.#store = store;
    this.#backend = backend;
    byId("filter").addEventListener("input", () => this.render());
    const files = /** @type {HTMLInputElement} */ (byId("upload-files"));
    byId("upload").append(icon("upload"), "Add photos");
    byId("upload").addEventListener("click", () => files.click());
    files.addEventListener("change", () => this.#upload([...(files.files ?? [])]));
    document.addEventListener("dragover", (event) => {
      event.preventDefault();
      document.documentElement.classList.add("dropping");
    });
    document.addEventListener("dragleave", (event) => {
      if (!event.relatedTarget) document.documentElement.classList.remove("dropping");
    });
    document.addEventListener("drop", (event) => {
      event.preventDefault();
      document.documentElement.classList.remove("dropping");
      this.#upload([...(event.dataTransfer?.files ?? [])]);
    });
    new IntersectionObserver(([entry]) => entry.isIntersecting && this.#more()).observe(byId("more-cards"));
  }

  async load() {
    await this.#backend.images((some, total) => {
      this.images.push(...some);
      this.#total = total;
      this.render();
    });
    this.#isLoaded = true;
    this.render();
  }

  /** Reads the folder again. Entries of images that were known stay the same objects. */
  async refresh() {
    this.render();
    /** @type {ImageEntry[]} */
    const images = [];
    try {
      await this.#backend.images((some) => images.push(...some.map((image) => Object.assign(this.find(image.id) ?? image, image))));
    } catch (error) {
      this.#store.emit("notice", { text: messageOf(error), kind: "problem" });
      return;
    }
    this.images = images;
    this.#total = images.length;
    this.render();
  }

  /**
   * Adds an image that is not listed yet: a task's, which its person sees since the claim.
   * @param {string} id
   */
  async include(id) {
    if (this.find(id)) return;
    try {
      this.images = [...this.images, await this.#backend.image(id)];
      this.#total = this.images.length;
      this.render();
    } catch (error) {
      this.#store.emit("notice", { text: messageOf(error), kind: "problem" });
    }
  }

  /**
   * @param {ImageEntry} image
   * @returns {number}
   */
  indexOf(image) {
    return this.images.findIndex(({ id }) => id === image.id);
  }

  /**
   * @param {string} id
   * @returns {ImageEntry | undefined}
   */
  find(id) {
    return this.images.find((image) => image.id === id);
  }

  render() {
    const filter = /** @type {HTMLInputElement} */ (byId("filter")).value.trim().toLowerCase();
    this.#matching = this.images.filter(({ name }) => name.toLowerCase().includes(filter));
    const shown = Math.max(BATCH, filter === this.#filter ? this.#shown : 0);
    this.#filter = filter;
    this.#shown = 0;
    // The position in the list is kept.
    const { scrollTop } = byId("gallery");
    byId("cards").replaceChildren();
    while (this.#shown < Math.min(shown, this.#matching.length)) this.#more();
    byId("gallery").scrollTop = scrollTop;
    const count = Math.max(this.#total, this.images.length);
    byId("image-count").textContent = filter
      ? `${this.#matching.length} of ${count}`
      : `${count} ${count === 1 ? "image" : "images"}`;
    const note = byId("gallery-note");
    note.hidden = this.#matching.length > 0 || (!this.#isLoaded && !filter);
    const isWorker = (this.#store.state.team?.role ?? "owner") !== "owner";
    const none = isWorker ? "The images that you have annotated are listed here." : "No images yet. Add photos, or drop them here.";
    note.textContent = this.images.length ? `No name contains “${filter}”.` : none;
  }

  #more() {
    const next = this.#matching.slice(this.#shown, this.#shown + BATCH);
    this.#shown += next.length;
    byId("cards").append(...next.map((image) => this.#card(image)));
  }

  /** @param {ImageEntry} image */
  #card(image) {
    const { name, annotations, embedded, problem } = image;
    const masks = `${annotations} ${annotations === 1 ? "mask" : "masks"}`;
    const picture = el("img", { alt: "", loading: "lazy", decoding: "async" });
    const holder = el("span", { class: "thumbnail" }, problem ? icon("warning") : picture);
    if (!problem) void this.#thumbnail(image, picture);
    const button = el(
      "button",
      {
        type: "button",
        class: "card-button",
        "data-testid": "image-card",
        "aria-label": `${name}, ${problem ?? masks}${embedded ? ", ready" : ""}`,
        disabled: problem !== null,
        title: problem ?? name,
        onclick: () => pick(image),
      },
      holder,
      el("span", { class: "card-name" }, name),
      el(
        "span",
        { class: "card-facts" },
        problem ? el("span", { class: "problem" }, problem) : masks,
        embedded && el("span", { class: "ready", title: "Its embedding is cached: it opens at once" }, "ready"),
      ),
    );
    return el("li", {}, button);
  }

  /**
   * @param {ImageEntry} image
   * @param {HTMLImageElement} picture
   */
  async #thumbnail(image, picture) {
    let url = this.#thumbnails.get(image.id);
    if (!url) {
      url = await this.#backend.thumbnail(image).catch(() => "");
      this.#thumbnails.set(image.id, url);
    }
    if (url) picture.src = url;
  }

  /** @param {File[]} files */
  async #upload(files) {
    // Of a team, the owner alone adds images.
    if (!files.length || (this.#store.state.team?.role ?? "owner") !== "owner") return;
    const button = /** @type {HTMLButtonElement} */ (byId("upload"));
    button.disabled = true;
    /** @type {ImageEntry[]} */
    const added = [];
    for (const file of files) {
      try {
        const image = await this.#backend.upload(file);
        this.images = [...this.images.filter(({ id }) => id !== image.id), image];
        added.push(image);
      } catch (error) {
        this.#store.emit("notice", { text: `${file.name}: ${messageOf(error)}`, kind: "problem" });
      }
    }
    button.disabled = false;
    this.#total = this.images.length;
    this.render();
    // A single photo is opened; several are only added.
    if (added.length === 1 && !added[0].problem) pick(added[0]);
    else if (added.length) this.#store.emit("notice", { text: `${added.length} photos added.` });
  }
}

/**
 * Opens an image by its URL, so that the browser's history has it.
 * @param {ImageEntry} image
 */
function pick(image) {
  location.hash = hashOf(image.id);
}
