/** One image at work: what pointers, keys and panels do to its masks. */

import { announce, messageOf, notify } from "./notices.js";
import { byId, icon } from "./dom.js";
import { Editor } from "../state/editor.js";
import { makeEverythingPanel } from "./everything_panel.js";
import { Found } from "../state/proposals.js";
import { Gestures } from "./gestures.js";
import { MaskActions } from "../state/commands.js";
import { makeMasksPanel } from "./masks_panel.js";
import { Opening } from "../state/opening.js";
import { Pointing } from "./pointing.js";
import { Saving } from "../state/saving.js";
import { makeSessionPanel } from "./session_panel.js";
import { Stage } from "./stage.js";
import { makeTools } from "./toolbar.js";

/** @typedef {import("../io/backend.js").Backend} Backend */
/** @typedef {import("../io/backend.js").ImageEntry} ImageEntry */
/** @typedef {import("../io/backend.js").Info} Info */
/** @typedef {import("./gestures.js").Tool} Tool */

export class Workspace {
  /** @type {ImageEntry | null} */
  image = null;
  /** @type {string | null} uuid */
  selected = null;
  /** @type {string | null} uuid of the mask that the pointer is over in the list */
  #pointed = null;
  #isScheduled = false;

  /**
   * @param {{backend: Backend, client: import("../model/worker_client.js").DecoderClient, info: Info, model: import("../state/opening.js").ModelLoading, labels: import("../state/labels.js").Labels}} given
   */
  constructor({ backend, client, info, model, labels }) {
    this.backend = backend;
    this.client = client;
    this.labels = labels;
    const changed = () => this.changed();
    const problem = (/** @type {unknown} */ error) => notify(messageOf(error), { kind: "problem" });
    this.editor = new Editor(client, changed, problem);
    this.saving = new Saving(backend, client, info.folder, changed);
    this.found = new Found(backend, client, changed);
    this.opening = new Opening(backend, client, model, info.model.image_size);
    this.opening.onAgain = (image) => this.#prepare(image);
    this.stage = new Stage(byId("stage"), () => this.#below(), () => this.#above(), () => this.#showZoom());
    const { editor, found, stage } = this;
    const { store } = this.saving;
    this.actions = new MaskActions({ editor, store, labels, found });
    this.pointing = new Pointing({ stage, editor, found, store, select: (uuid) => this.select(uuid), accept: () => this.accept() });
    const { actions, pointing } = this;
    new Gestures(stage, {
      tool: () => pointing.tool,
      hover: (point) => pointing.hover(point),
      click: (point, negative) => pointing.click(point, negative),
      box: (from, to, isDone) => pointing.drag(from, to, isDone),
      stroke: (points, isDone) => pointing.paint(points, isDone),
      cancel: () => pointing.cancel(),
    });
    const showTools = makeTools({ choose: (tool) => this.choose(tool), undo: () => this.undo(), redo: () => this.redo() });
    const showSession = makeSessionPanel({
      editor,
      labels,
      accept: () => this.accept(),
      discard: () => this.escape(),
      setLabel: (label) => this.setLabel(label),
      hint: () => this.#hint(),
    });
    const showMasks = makeMasksPanel(store, {
      select: (uuid) => this.select(uuid),
      relabel: (uuid, label) => actions.relabel(uuid, label),
      edit: (uuid) => this.edit(uuid),
      remove: (uuid) => this.remove(uuid),
      retry: (uuid) => actions.retry(uuid),
      point: (uuid) => {
        this.#pointed = uuid;
        this.stage.redrawBelow();
      },
    });
    const showEverything = makeEverythingPanel({
      options: { ...info.model.everything },
      start: (options) => this.image && found.start(this.image, options),
      cancel: () => found.cancel(),
      acceptAll: () => actions.acceptAll(),
      discardAll: () => found.clear(),
    });
    this.#show = () => {
      const { tool } = pointing;
      const { canUndo, canRedo } = editor.history;
      showTools({ tool, canUndo, canRedo, isReady: editor.isReady });
      showSession();
      showMasks(this.selected, editor.session.editing);
      showEverything(tool === "everything", found.state);
      stage.element.dataset.tool = tool;
      byId("brush-size").hidden = tool !== "brush" && tool !== "eraser";
    };
    this.#makeControls(info.model.text);
  }

  #show;

  /** Something changed: what shows is brought up to date with the next frame. */
  changed() {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    requestAnimationFrame(() => {
      this.#isScheduled = false;
      if (!this.image) return;
      this.#show();
      this.stage.update();
    });
  }

  /** @param {ImageEntry} image */
  async open(image) {
    this.close();
    this.image = image;
    this.stage.show(null, [image.height, image.width]);
    this.stage.element.setAttribute("aria-label", `Image ${image.name}`);
    this.changed();
    void this.saving.open(image);
    void this.#prepare(image);
    try {
      const bitmap = await this.opening.pixels(image);
      if (this.image === image) this.stage.show(bitmap, [image.height, image.width]);
    } catch (error) {
      if (this.image === image) notify(`The image cannot be shown: ${messageOf(error)}`, { kind: "problem" });
    }
  }

  close() {
    this.opening.stop();
    this.found.cancel();
    this.found.clear();
    this.editor.open(null);
    this.selected = this.#pointed = null;
    this.pointing.reset();
    this.image = null;
    void this.saving.open(null);
  }

  /** @param {ImageEntry} image */
  async #prepare(image) {
    if (!(await this.opening.prepare(image))) return;
    image.embedded = true;
    this.editor.open({ key: image.id, size: [image.height, image.width] });
    this.onReady(image);
  }

  /** Is called once an image can be asked. @type {(image: ImageEntry) => void} */
  onReady = () => {};

  /** @param {Tool} tool */
  choose(tool) {
    this.pointing.tool = tool;
    if (tool !== "add" && tool !== "box") void this.editor.hover(null);
    this.changed();
  }

  undo() {
    const name = this.editor.history.undo();
    announce(name ? `Undone: ${name}.` : "Nothing to undo.");
    this.changed();
  }

  redo() {
    const name = this.editor.history.redo();
    announce(name ? `Done again: ${name}.` : "Nothing to do again.");
    this.changed();
  }

  accept() {
    this.pointing.crosshair = null;
    void this.actions.accept();
  }

  /** @param {string} uuid */
  edit(uuid) {
    if (!this.actions.edit(uuid)) return;
    this.selected = null;
    const { tool } = this.pointing;
    if (tool === "hand" || tool === "everything") this.choose("add");
    this.stage.element.focus();
  }

  /** @param {string} uuid */
  remove(uuid) {
    if (this.selected === uuid) this.selected = null;
    this.actions.remove(uuid);
  }

  /** Gives up what is being made; without such, the selection; without that, what was found. */
  escape() {
    if (!this.editor.isEmpty || this.editor.session.editing) this.editor.discard();
    else if (this.selected) this.select(null);
    else if (this.found.state.found) this.found.clear();
    this.pointing.crosshair = null;
    this.changed();
  }

  /** @param {string} label of the mask at hand: the selected one, or the next */
  setLabel(label) {
    if (this.selected && this.editor.isEmpty) this.actions.relabel(this.selected, label);
    else this.labels.current = label;
    this.changed();
  }

  /** @param {string | null} uuid */
  select(uuid) {
    this.selected = uuid;
    this.changed();
    if (uuid) requestAnimationFrame(() => document.querySelector(`[data-uuid="${uuid}"]`)?.scrollIntoView({ block: "nearest" }));
  }

  /** @param {number} factor */
  resizeBrush(factor) {
    const { pointing } = this;
    pointing.brushRadius = Math.round(Math.min(80, Math.max(2, pointing.brushRadius * factor)));
    this.#showBrush();
    this.stage.redrawAbove();
  }

  #below() {
    const { editor, found } = this;
    const faint = !editor.isEmpty;
    const kept = this.saving.store.list.filter(({ visible, shape, uuid }) => visible && shape && uuid !== editor.session.editing);
    return {
      masks: [
        ...kept.map(({ uuid, shape }) => ({
          key: uuid,
          shape: /** @type {import("../core/postprocessing.js").Shape} */ (shape),
          strong: uuid === this.#pointed || uuid === this.selected,
          faint: faint || found.masks.length > 0,
        })),
        ...found.masks.map(({ key, kept: { shape } }) => ({ key, shape, strong: key === found.pointed, faint })),
      ],
    };
  }

  #above() {
    const { editor, pointing } = this;
    return {
      active: editor.showing?.shape ?? null,
      hovered: editor.hovered?.shape ?? null,
      prompt: editor.session.prompt,
      box: pointing.box,
      stroke: editor.stroke,
      tip: pointing.tip,
      crosshair: pointing.crosshair,
    };
  }

  #hint() {
    if (!this.editor.isReady) return "";
    switch (this.pointing.tool) {
      case "brush":
        return "Paint the object. A click then refines it.";
      case "eraser":
        return "Take up a mask, and erase what does not belong to it.";
      case "everything":
        return "Finds all masks of the image at once.";
      case "hand":
        return "Drag to move the image. Click a mask to select it.";
      case "box":
        return "Drag a box around an object.";
      default:
        return "Click an object, or drag a box around it.";
    }
  }

  /** @param {boolean} hasText whether the model takes text */
  #makeControls(hasText) {
    const { stage } = this;
    const radius = /** @type {HTMLInputElement} */ (byId("brush-radius"));
    radius.addEventListener("input", () => this.resizeBrush(Number(radius.value) / this.pointing.brushRadius));
    this.#showBrush();
    for (const [id, name, run] of /** @type {const} */ ([
      ["zoom-in", "add", () => stage.zoom(1.4)],
      ["zoom-out", "subtract", () => stage.zoom(1 / 1.4)],
      ["zoom-fit", "fit", () => stage.fit()],
    ])) {
      byId(id).append(icon(name));
      byId(id).title = byId(id).getAttribute("aria-label") ?? "";
      byId(id).addEventListener("click", run);
    }
    const form = byId("text-form");
    form.hidden = !hasText;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#findText(/** @type {HTMLInputElement} */ (byId("text-prompt")).value.trim());
    });
  }

  /** @param {string} text */
  async #findText(text) {
    const { image } = this;
    if (!image || !text || !this.editor.isReady) return;
    try {
      const [best] = await this.backend.ask(image, { ...this.editor.session.prompt, text });
      if (!best || this.image !== image) return;
      const kept = await this.client.call("draw", { segmentation: best.segmentation });
      const { prompt } = this.editor.session;
      this.editor.take(kept, { source: "text", score: best.score, prompt: { ...prompt, text } }, "finding by text");
    } catch (error) {
      notify(messageOf(error), { kind: "problem" });
    }
  }

  #showBrush() {
    /** @type {HTMLInputElement} */ (byId("brush-radius")).value = String(this.pointing.brushRadius);
    byId("brush-value").textContent = String(2 * this.pointing.brushRadius);
  }

  #showZoom() {
    byId("zoom-value").textContent = `${Math.round(this.stage.view.scale * 100)}%`;
  }
}
