/** Draws the image with its two layers, on two canvases, and holds the view. */

import { ACTIVE, colorsOf, FORMER, HOVER } from "./colors.js";
import { drawBox, drawCrosshair, drawPoint, drawRegion, drawStroke, drawTip } from "./markers.js";
import { fitView, keepInSight, toScreen, zoomAt } from "../core/frame.js";
import { isSameLayer, isSameUpper, LOWER_KEYS, lowerLayer, UPPER_KEYS, upperLayer } from "./layers.js";
import { paintShape } from "./painting.js";

/** @typedef {import("../core/frame.js").View} View */
/** @typedef {import("../core/frame.js").Point} Point */
/** @typedef {import("../core/postprocessing.js").Shape} Shape */
/** @typedef {import("./painting.js").Colors} Colors */

/** @typedef {import("../state/state.js").PageStore} PageStore */

// Of the screen, in milliseconds.
const FRAME = 16;
// Outlines of proposals that nobody has decided on, in CSS pixels.
const DASH = [7, 5];

export class Stage {
  /** @type {ImageBitmap | null} */
  #bitmap = null;
  /** @type {[number, number]} */
  imageSize = [1, 1];
  #isFitted = true;
  #store;
  /** The layers as they were drawn last. @type {import("./layers.js").LayerMask[]} */
  #drawnBelow = [];
  /** @type {import("./layers.js").UpperLayer} */
  #drawnAbove;
  /** The mask drawn last above. @type {Shape | null} */
  #lastShape = null;
  #frames = { below: false, above: false };
  #drawnAt = { below: 0, above: 0 };

  /**
   * @param {PageStore} store
   * @param {HTMLElement} element that contains the canvases
   */
  constructor(store, element) {
    this.#store = store;
    this.element = element;
    this.#drawnAbove = upperLayer(store.state);
    this.lower = /** @type {HTMLCanvasElement} */ (element.querySelector(".below"));
    this.upper = /** @type {HTMLCanvasElement} */ (element.querySelector(".above"));
    new ResizeObserver(() => this.#resize()).observe(element);
    // Drawing takes time from the model: a layer is drawn only where it looks different.
    store.watch(LOWER_KEYS, (state) => isSameLayer(lowerLayer(state), this.#drawnBelow) || this.#redrawBelow());
    store.watch(UPPER_KEYS, (state) => isSameUpper(upperLayer(state), this.#drawnAbove) || this.#redrawAbove());
  }

  /** @returns {View} */
  get view() {
    return this.#store.state.view;
  }

  /** @returns {[number, number]} height and width in CSS pixels */
  get size() {
    return [this.element.clientHeight, this.element.clientWidth];
  }

  /**
   * @param {ImageBitmap | null} bitmap
   * @param {[number, number]} imageSize height and width
   */
  show(bitmap, imageSize) {
    this.#bitmap?.close();
    this.#bitmap = bitmap;
    this.imageSize = imageSize;
    this.fit();
  }

  fit() {
    this.#isFitted = true;
    this.#store.set({ view: fitView(this.imageSize, this.size, this.size[1] < 500 ? 8 : 24) });
    this.#redraw();
  }

  /**
   * @param {number} dx
   * @param {number} dy
   */
  pan(dx, dy) {
    this.#move({ ...this.view, x: this.view.x + dx, y: this.view.y + dy });
  }

  /**
   * @param {number} factor
   * @param {Point} [about] in screen pixels; the middle by default
   */
  zoom(factor, about = [this.size[1] / 2, this.size[0] / 2]) {
    const smallest = Math.min(1, fitView(this.imageSize, this.size).scale / 2);
    this.#move(zoomAt(this.view, about, factor, smallest));
  }

  /**
   * Moves the image so that a point is visible.
   * @param {Point} point of the image
   */
  reveal(point) {
    const [x, y] = toScreen(this.view, point);
    const [height, width] = this.size;
    const dx = x < 24 ? 24 - x : x > width - 24 ? width - 24 - x : 0;
    const dy = y < 24 ? 24 - y : y > height - 24 ? height - 24 - y : 0;
    if (dx || dy) this.pan(dx, dy);
  }

  #redraw() {
    this.#redrawBelow();
    this.#redrawAbove();
  }

  #redrawBelow() {
    this.#schedule("below", () => this.#drawBelow());
  }

  #redrawAbove() {
    this.#schedule("above", () => this.#drawAbove());
  }

  /** @param {View} view */
  #move(view) {
    this.#isFitted = false;
    this.#store.set({ view: keepInSight(view, this.imageSize, this.size) });
    this.#redraw();
  }

  /**
   * @param {"below" | "above"} which
   * @param {() => void} draw
   */
  #schedule(which, draw) {
    if (this.#frames[which]) return;
    const now = performance.now();
    if (now - this.#drawnAt[which] > FRAME) {
      // No frame was drawn lately: waiting for the next one would only add latency.
      this.#drawnAt[which] = now;
      draw();
      return;
    }
    this.#frames[which] = true;
    requestAnimationFrame(() => {
      this.#frames[which] = false;
      this.#drawnAt[which] = performance.now();
      draw();
    });
  }

  #resize() {
    const [height, width] = this.size;
    for (const canvas of [this.lower, this.upper]) {
      canvas.width = Math.round(width * devicePixelRatio);
      canvas.height = Math.round(height * devicePixelRatio);
    }
    if (this.#isFitted) this.fit();
    else this.#redraw();
  }

  /** @param {HTMLCanvasElement} canvas */
  #begin(canvas) {
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    const { scale, x, y } = this.view;
    const ratio = devicePixelRatio;
    context.setTransform(scale * ratio, 0, 0, scale * ratio, x * ratio, y * ratio);
    context.lineJoin = context.lineCap = "round";
    return context;
  }

  #drawBelow() {
    const context = this.#begin(this.lower);
    const [height, width] = this.imageSize;
    if (!this.#bitmap) return;
    // At such a zoom single pixels are looked at.
    context.imageSmoothingEnabled = this.view.scale < 4;
    context.imageSmoothingQuality = "high";
    context.drawImage(this.#bitmap, 0, 0, width, height);
    this.#drawnBelow = lowerLayer(this.#store.state);
    for (const { key, shape, strong, faint, dashed } of this.#drawnBelow) {
      const colors = colorsOf(key, dashed ? (strong ? 0.3 : 0.08) : strong ? 0.5 : faint ? 0.16 : 0.34);
      if (dashed) context.setLineDash(DASH.map((length) => length / this.view.scale));
      this.#paint(context, shape, colors, strong ? 2.5 : dashed ? 2 : 1.25);
      context.setLineDash([]);
    }
  }

  #drawAbove() {
    const context = this.#begin(this.upper);
    this.#drawnAbove = upperLayer(this.#store.state);
    const { active, hovered, prompt, former, regions, box, stroke, tip, crosshair } = this.#drawnAbove;
    const unit = 1 / this.view.scale;
    for (const region of regions) drawRegion(context, unit, region.box);
    if (former) this.#paint(context, former, FORMER, 2);
    if (hovered) this.#paint(context, hovered, HOVER, 1.5);
    if (active) this.#paint(context, active, ACTIVE, 2);
    if (stroke) drawStroke(context, stroke);
    for (const rectangle of [prompt.box, box]) if (rectangle) drawBox(context, unit, rectangle);
    prompt.points.forEach((point, i) => drawPoint(context, unit, point, prompt.labels[i]));
    if (tip) drawTip(context, unit, tip);
    if (crosshair) drawCrosshair(context, unit, crosshair);
    const shape = active ?? hovered;
    if (shape && shape !== this.#lastShape) performance.mark("samjax:drawn", { detail: { kind: active ? "click" : "hover" } });
    this.#lastShape = shape;
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {Shape} shape
   * @param {Colors} colors
   * @param {number} width of the line, in CSS pixels
   */
  #paint(context, shape, colors, width) {
    paintShape(context, 1 / this.view.scale, this.imageSize, shape, colors, width);
  }
}
