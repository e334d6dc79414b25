/** The image with masks and prompts over it, and the pointer and keys on it. */

import { clampTo, isInside } from "../../web/page/core/frame.js";
import { boxBetween } from "../../web/page/core/prompts.js";
import { ACTIVE, colorsOf } from "../../web/page/ui/colors.js";
import { el } from "../../web/page/ui/dom.js";
import { drawBox, drawCrosshair, drawPoint } from "../../web/page/ui/markers.js";
import { paintShape } from "../../web/page/ui/painting.js";

/** @typedef {import("../../web/page/core/frame.js").Point} Point */
/** @typedef {import("../../web/page/core/frame.js").Box} Box */
/** @typedef {import("../../web/page/core/postprocessing.js").Shape} Shape */
/** @typedef {import("../../web/page/core/prompts.js").Prompt} Prompt */

/**
 * @typedef {object} Handlers
 * @property {(point: Point, isNegative: boolean) => void} click
 * @property {(box: Box) => void} box
 * @property {(index: number) => void} remove a point of the prompt, by a click on it
 */

/** @typedef {{accepted: readonly Shape[], active: Shape | null, prompt: Prompt}} Layers */

// In CSS pixels: a shorter movement is a click.
const DRAG = 5;
// A click this near to a point of the prompt removes it.
const GRAB = 9;
// A box with a shorter side is an accident.
const MIN_BOX = 3;
const STEP = 12;

export class Stage {
  #canvas = el("canvas", { "aria-hidden": "true" });
  #handlers;
  #size;
  #url;
  #resizes;
  /** @type {Layers} */
  #layers = { accepted: [], active: null, prompt: { points: [], labels: [], box: null, mask: null, text: null } };
  /** @type {{id: number, start: Point, from: Point, isNegative: boolean, box: Box | null} | null} */
  #gesture = null;
  /** @type {Point | null} */
  #crosshair = null;
  #isAimed = false;
  /** Whether a plain click gives a background point. */
  isNegative = false;

  /**
   * @param {DataView<ArrayBuffer>} picture JPEG
   * @param {[number, number]} size height and width of the original image
   * @param {Handlers} handlers
   */
  constructor(picture, size, handlers) {
    this.#size = size;
    this.#handlers = handlers;
    this.#url = URL.createObjectURL(new Blob([picture], { type: "image/jpeg" }));
    const [height, width] = size;
    const description =
      "Image. Arrow keys move a crosshair, Enter places a foreground point there, Shift Enter a background point; " +
      "Enter again accepts the mask, Escape discards it.";
    this.element = el(
      "div",
      { class: "stage", tabindex: 0, role: "application", "aria-label": description, style: `--height: ${height}; --width: ${width}` },
      el("img", { src: this.#url, alt: `Image of ${width} by ${height} pixels`, draggable: "false" }),
      this.#canvas,
    );
    const { element } = this;
    element.addEventListener("pointerdown", (event) => this.#down(event));
    element.addEventListener("pointermove", (event) => this.#move(event));
    element.addEventListener("pointerup", (event) => this.#up(event));
    element.addEventListener("pointercancel", () => this.#cancel());
    element.addEventListener("contextmenu", (event) => {
      event.preventDefault();
      // JupyterLab would show its own menu.
      event.stopPropagation();
    });
    this.#resizes = new ResizeObserver(() => this.#draw());
    this.#resizes.observe(element);
  }

  close() {
    this.#resizes.disconnect();
    URL.revokeObjectURL(this.#url);
  }

  /** @param {Layers} layers */
  show(layers) {
    this.#layers = layers;
    this.#draw();
  }

  /** Whether the crosshair was moved since it last placed a point. */
  get isAimed() {
    return this.#isAimed;
  }

  /**
   * @param {number} dx -1, 0 or 1
   * @param {number} dy
   * @param {boolean} isFine
   */
  moveCrosshair(dx, dy, isFine) {
    const [height, width] = this.#size;
    const step = (isFine ? 1 : STEP) * this.#unit;
    const [x, y] = this.#crosshair ?? [width / 2, height / 2];
    const within = (/** @type {number} */ at, /** @type {number} */ side) => Math.min(side - 0.5, Math.max(0.5, at));
    this.#crosshair = [within(x + dx * step, width), within(y + dy * step, height)];
    this.#isAimed = true;
    this.#draw();
    return this.#crosshair;
  }

  /** @param {boolean} isNegative */
  placePoint(isNegative) {
    if (!this.#crosshair) return;
    this.#isAimed = false;
    this.#handlers.click(this.#crosshair, isNegative);
  }

  /** Pixels of the image per CSS pixel. */
  get #unit() {
    return this.#size[1] / Math.max(1, this.element.clientWidth);
  }

  /** @param {PointerEvent} event */
  #down(event) {
    if (event.button === 1) return;
    this.element.focus({ preventScroll: true });
    event.preventDefault();
    this.#crosshair = null;
    this.#isAimed = false;
    if (this.#gesture) {
      // A second finger is no click.
      this.#cancel();
      return;
    }
    this.element.setPointerCapture(event.pointerId);
    const isNegative = this.isNegative || event.button === 2 || event.shiftKey || event.altKey;
    this.#gesture = { id: event.pointerId, start: [event.clientX, event.clientY], from: this.#position(event), isNegative, box: null };
    this.#draw();
  }

  /** @param {PointerEvent} event */
  #move(event) {
    const gesture = this.#gesture;
    if (!gesture || gesture.id !== event.pointerId) return;
    const [x, y] = gesture.start;
    const isDrag = gesture.box || Math.hypot(event.clientX - x, event.clientY - y) > DRAG;
    // A box is around an object: there is none around what is excluded.
    if (!isDrag || gesture.isNegative) return;
    gesture.box = boxBetween(clampTo(gesture.from, this.#size), clampTo(this.#position(event), this.#size));
    this.#draw();
  }

  /** @param {PointerEvent} event */
  #up(event) {
    const gesture = this.#gesture;
    if (!gesture || gesture.id !== event.pointerId) return;
    this.#gesture = null;
    const { from, isNegative, box } = gesture;
    if (box) {
      const least = MIN_BOX * this.#unit;
      if (box[2] - box[0] > least && box[3] - box[1] > least) this.#handlers.box(box);
      else this.#draw();
      return;
    }
    if (!isInside(from, this.#size)) return;
    const near = GRAB * this.#unit;
    const at = this.#layers.prompt.points.findIndex(([x, y]) => Math.hypot(x - from[0], y - from[1]) < near);
    if (at < 0) this.#handlers.click(from, isNegative);
    else this.#handlers.remove(at);
  }

  #cancel() {
    this.#gesture = null;
    this.#draw();
  }

  /**
   * @param {PointerEvent} event
   * @returns {Point} in pixels of the original image
   */
  #position(event) {
    const box = this.#canvas.getBoundingClientRect();
    return [
      ((event.clientX - box.left) * this.#size[1]) / box.width,
      ((event.clientY - box.top) * this.#size[0]) / box.height,
    ];
  }

  #draw() {
    const canvas = this.#canvas;
    const { clientWidth, clientHeight } = this.element;
    const [height, width] = this.#size;
    canvas.width = Math.round(clientWidth * devicePixelRatio);
    canvas.height = Math.round(clientHeight * devicePixelRatio);
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    context.setTransform(canvas.width / width, 0, 0, canvas.height / height, 0, 0);
    context.lineJoin = context.lineCap = "round";
    const unit = this.#unit;
    const { accepted, active, prompt } = this.#layers;
    const strength = active ? 0.16 : 0.34;
    accepted.forEach((shape, i) => paintShape(context, unit, this.#size, shape, colorsOf(String(i), strength), 1.25));
    if (active) paintShape(context, unit, this.#size, active, ACTIVE, 2);
    for (const box of [prompt.box, this.#gesture?.box]) if (box) drawBox(context, unit, box);
    prompt.points.forEach((point, i) => drawPoint(context, unit, point, prompt.labels[i]));
    if (this.#crosshair) drawCrosshair(context, unit, this.#crosshair);
  }
}
