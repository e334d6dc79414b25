/** Masks between the page and whoever keeps them: the outbox, conflicts, and others' work. */

import { announce, messageOf, notify } from "../ui/notices.js";
import { byId, el } from "../ui/dom.js";
import { MaskStore, toAnnotationIn } from "./mask_list.js";
import { Outbox } from "../io/outbox.js";
import { makeUuid } from "../core/uuid.js";

/** @typedef {import("../io/backend.js").Backend} Backend */
/** @typedef {import("../io/backend.js").ImageEntry} ImageEntry */
/** @typedef {import("../io/backend.js").Annotation} Annotation */
/** @typedef {import("../io/outbox.js").Errand} Errand */
/** @typedef {import("../model/worker_client.js").DecoderClient} DecoderClient */

const POLL = 4000;

export class Saving {
  /** @type {ImageEntry | null} */
  #image = null;
  #backend;
  #onChange;
  #isOffline = false;
  #wasStuck = false;
  /** Which problem was told. @type {string | null} */
  #told = null;
  #conflicts = Promise.resolve();

  /**
   * @param {Backend} backend
   * @param {DecoderClient} client
   * @param {string} folder whose images these are
   * @param {() => void} onChange
   */
  constructor(backend, client, folder, onChange) {
    this.#backend = backend;
    this.#onChange = onChange;
    this.store = new MaskStore({
      send: (errand) => this.outbox.add(errand),
      draw: (mask) => {
        const { uuid, segmentation } = mask;
        client.call("draw", { segmentation }).then(
          ({ area, shape }) => {
            if (this.store.get(uuid)?.segmentation.counts === segmentation.counts) this.store.drawn(uuid, area, shape);
          },
          (error) => notify(`A mask could not be drawn: ${messageOf(error)}`, { kind: "problem" }),
        );
      },
      onChange,
    });
    this.outbox = new Outbox(
      backend,
      {
        onSaved: (errand, annotation) => this.#saved(errand, annotation),
        onConflict: (errand, current) => {
          this.#conflicts = this.#conflicts.then(() => this.#askWhose(errand, current));
        },
        onRefused: (errand, message) => {
          notify(`A mask was not saved: ${message}`, { kind: "problem" });
          this.#here(errand)?.refused(errand.uuid, message);
        },
        onChange: () => this.#showState(),
      },
      shelf(`samjax.unsaved ${folder}`),
    );
    byId("save-state").addEventListener("click", () => this.outbox.send());
    window.addEventListener("online", () => this.outbox.send());
    window.addEventListener("beforeunload", (event) => {
      if (this.outbox.size) event.preventDefault();
    });
    setInterval(() => this.#poll(), POLL);
    this.#showState();
    void this.outbox.send();
  }

  /**
   * @param {ImageEntry | null} image
   * @returns {Promise<void>}
   */
  async open(image) {
    this.#image = image;
    this.store.open(image?.id ?? "", image ? this.outbox.of(image.id) : []);
    if (!image) return;
    try {
      const changes = await this.#backend.annotations(image, null);
      if (this.#image === image) this.store.merge(changes);
    } catch (error) {
      if (this.#image === image) notify(`Masks were not read: ${messageOf(error)}`, { kind: "problem", action: { name: "Try again", run: () => this.open(image) } });
    }
  }

  async #poll() {
    const image = this.#image;
    if (!image || document.hidden || this.#backend.mode === "demo" || this.store.revision === null) return;
    try {
      const changes = await this.#backend.annotations(image, this.store.revision);
      this.#isOffline = false;
      if (this.#image !== image) return;
      const count = this.store.merge(changes);
      if (count) notify(`${count} ${count === 1 ? "mask was" : "masks were"} changed by somebody else.`);
    } catch {
      this.#isOffline = true;
    }
    this.#showState();
  }

  /**
   * @param {Errand} errand
   * @param {Annotation | null} annotation
   */
  #saved({ uuid, imageId }, annotation) {
    if (imageId !== this.#image?.id) return;
    const isLast = !this.outbox.of(imageId).some((errand) => errand.uuid === uuid);
    this.store.saved(uuid, annotation, isLast);
  }

  /** @param {Errand} errand */
  #here({ imageId }) {
    return imageId === this.#image?.id ? this.store : null;
  }

  /**
   * Somebody else changed the mask meanwhile: whose is to stay is for a person to say.
   * @param {Errand} errand
   * @param {Annotation} current
   * @returns {Promise<void>}
   */
  #askWhose(errand, current) {
    const dialog = /** @type {HTMLDialogElement} */ (byId("conflict"));
    const mine = this.store.get(errand.uuid);
    const isRemoval = errand.kind === "remove";
    return new Promise((resolve) => {
      const choice = (/** @type {string} */ name, /** @type {string} */ id, /** @type {() => void} */ run) =>
        el("button", { type: "button", class: "button", "data-testid": id, onclick: () => (run(), dialog.close()) }, name);
      const overwrite = () => this.outbox.add({ ...errand, id: current.id, revision: current.revision });
      const takeTheirs = () => this.#here(errand)?.replace(current);
      const copy = () => {
        const store = this.#here(errand);
        if (!store || !mine) return;
        const own = { ...toAnnotationIn(mine), uuid: makeUuid() };
        store.replace(current);
        store.copy(own);
      };
      let isDecided = false;
      const decide = (/** @type {() => void} */ run) => () => {
        isDecided = true;
        run();
      };
      dialog.replaceChildren(
        el("h2", { id: "conflict-title" }, "Somebody else changed this mask"),
        el("p", {}, `${current.label ? `“${current.label}”` : "The mask"} was changed while you ${isRemoval ? "deleted" : "changed"} it. What is to stay?`),
        el(
          "div",
          { class: "actions" },
          choice("Keep theirs", "keep-theirs", decide(takeTheirs)),
          !isRemoval && mine && choice("Keep both", "keep-both", decide(copy)),
          choice(isRemoval ? "Delete it" : "Keep mine", "keep-mine", decide(overwrite)),
        ),
      );
      // Closed without a choice: nothing of theirs is lost.
      dialog.onclose = () => {
        if (!isDecided) takeTheirs();
        resolve();
      };
      dialog.showModal();
    });
  }

  #showState() {
    const state = byId("save-state");
    const { size, isStuck } = this.outbox;
    const isDemo = this.#backend.mode === "demo";
    let text = isDemo ? "Kept in this browser" : "Saved";
    if (size) text = isStuck ? `${size} not saved: retry` : "Saving…";
    else if (this.#isOffline) text = "Server away";
    state.dataset.state = isStuck && size ? "stuck" : size ? "busy" : this.#isOffline ? "away" : "saved";
    if (state.textContent !== text) state.textContent = text;
    if (isStuck !== this.#wasStuck) announce(isStuck ? "Masks are not saved." : "All masks are saved.");
    this.#wasStuck = isStuck;
    this.#tellProblem();
    this.#onChange();
  }

  /** Says once why masks wait, where it is more than that nobody answers. */
  #tellProblem() {
    const { size, problem } = this.outbox;
    const said = size && problem?.status ? problem.message : null;
    if (said === this.#told) return;
    this.#told = said;
    if (!said) return;
    const imageId = problem?.imageId;
    notify(`Not saved yet, and kept in this page: ${said}`, {
      kind: "problem",
      action: imageId ? { name: "Give up its masks", run: () => this.outbox.discard(imageId) } : undefined,
    });
  }
}

/**
 * What is unsaved outlives the page. One page at a time keeps it: two would send it twice.
 * @param {string} key
 * @returns {import("../io/outbox.js").Shelf}
 */
function shelf(key) {
  let isMine = !("locks" in navigator);
  if (!isMine) {
    void navigator.locks.request(key, { ifAvailable: true }, (lock) => {
      isMine = lock !== null;
      // Held for as long as the page lives.
      return lock ? new Promise(() => {}) : undefined;
    });
  }
  return {
    load: () => {
      try {
        return localStorage.getItem(key);
      } catch {
        return null;
      }
    },
    save: (text) => {
      try {
        if (isMine) localStorage.setItem(key, text);
      } catch {
        // Full, or not allowed: it still is in memory.
      }
    },
  };
}
