/** Turns pointer events on the image into clicks, boxes, strokes, moves and zooms. */

import { toImage } from "../core/frame.js";

/** @typedef {import("../core/frame.js").Point} Point */
/** @typedef {import("./stage.js").Stage} Stage */
/** @typedef {import("../state/state.js").Tool} Tool */

/**
 * Points are in pixels of the image; isDone: the pointer was released.
 * @typedef {object} Handlers
 * @property {Tool} tool
 * @property {(point: Point | null) => void} hover
 * @property {(point: Point, negative: boolean) => void} click
 * @property {(from: Point, to: Point, isDone: boolean) => void} drag
 * @property {(points: Point[], isDone: boolean) => void} paint
 * @property {() => void} cancel ends a gesture without effect
 */

// In CSS pixels: a shorter movement is a click.
const DRAG = 5;

/** @param {() => void} run at every input of the person */
export function onInput(run) {
  for (const input of ["pointermove", "pointerdown", "keydown", "wheel"]) document.addEventListener(input, run, { capture: true, passive: true });
}

export class Gestures {
  #stage;
  #handlers;
  /** @type {Map<number, Point>} on the screen */
  #pointers = new Map();
  /** @type {{kind: "click" | "box" | "stroke" | "pan", start: Point, points: Point[], negative: boolean, moved: boolean} | null} */
  #gesture = null;
  #spaceHeld = false;

  /**
   * @param {Stage} stage
   * @param {Handlers} handlers
   */
  constructor(stage, handlers) {
    this.#stage = stage;
    this.#handlers = handlers;
    const { element } = stage;
    element.addEventListener("pointerdown", (event) => this.#down(event));
    element.addEventListener("pointermove", (event) => this.#move(event));
    element.addEventListener("pointerup", (event) => this.#up(event, true));
    element.addEventListener("pointercancel", (event) => this.#up(event, false));
    element.addEventListener("pointerleave", () => this.#gesture || handlers.hover(null));
    element.addEventListener("contextmenu", (event) => event.preventDefault());
    element.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    document.addEventListener("keydown", ({ key }) => this.#space(key, true));
    document.addEventListener("keyup", ({ key }) => this.#space(key, false));
  }

  /**
   * @param {string} key
   * @param {boolean} held
   */
  #space(key, held) {
    if (key !== " ") return;
    this.#spaceHeld = held;
    this.#stage.element.classList.toggle("panning", held);
  }

  /** @param {PointerEvent} event */
  #down(event) {
    // Controls over the image have handlers of their own.
    if (event.target instanceof Element && event.target.closest("button, input, .over")) return;
    const screen = this.#position(event);
    this.#pointers.set(event.pointerId, screen);
    this.#stage.element.setPointerCapture(event.pointerId);
    if (this.#pointers.size > 1) {
      if (this.#gesture && this.#gesture.kind !== "pan") this.#handlers.cancel();
      this.#gesture = null;
      return;
    }
    const tool = this.#handlers.tool;
    const negative = event.button === 2 || event.altKey || event.shiftKey || tool === "subtract";
    const pans = event.button === 1 || this.#spaceHeld || tool === "hand";
    const paints = tool === "brush" || tool === "eraser";
    const kind = pans ? "pan" : paints ? "stroke" : tool === "box" || tool === "region" ? "box" : "click";
    const point = toImage(this.#stage.view, screen);
    this.#gesture = { kind, start: screen, points: [point], negative, moved: false };
    if (event.button === 1) event.preventDefault();
    if (kind === "stroke") this.#handlers.paint([point], false);
  }

  /** @param {PointerEvent} event */
  #move(event) {
    const screen = this.#position(event);
    const before = this.#pointers.get(event.pointerId);
    if (!before) {
      if (event.pointerType !== "touch") this.#handlers.hover(toImage(this.#stage.view, screen));
      return;
    }
    if (this.#pointers.size === 2) this.#pinch(event.pointerId, screen);
    this.#pointers.set(event.pointerId, screen);
    const gesture = this.#gesture;
    if (!gesture) return;
    if (Math.hypot(screen[0] - gesture.start[0], screen[1] - gesture.start[1]) > DRAG) gesture.moved = true;
    const point = toImage(this.#stage.view, screen);
    if (gesture.kind === "pan") {
      if (gesture.moved) this.#stage.pan(screen[0] - before[0], screen[1] - before[1]);
    } else if (gesture.kind === "stroke") {
      gesture.points.push(point);
      this.#handlers.hover(point);
      this.#handlers.paint(gesture.points, false);
    } else if (gesture.moved && this.#mayBeBox(gesture)) {
      gesture.kind = "box";
      this.#handlers.drag(gesture.points[0], point, false);
    }
  }

  /** @param {{negative: boolean, kind: string}} gesture */
  #mayBeBox({ negative, kind }) {
    // A box is around the object: there is none around an excluded region.
    return kind === "box" || (!negative && this.#handlers.tool === "add");
  }

  /**
   * @param {PointerEvent} event
   * @param {boolean} isDone
   */
  #up(event, isDone) {
    const screen = this.#position(event);
    if (!this.#pointers.delete(event.pointerId)) return;
    const gesture = this.#gesture;
    this.#gesture = null;
    if (!gesture) return;
    if (!isDone) {
      this.#handlers.cancel();
      return;
    }
    const point = toImage(this.#stage.view, screen);
    if (gesture.kind === "stroke") this.#handlers.paint(gesture.points, true);
    else if (gesture.kind === "box" && gesture.moved) this.#handlers.drag(gesture.points[0], point, true);
    else if (gesture.kind !== "pan" || !gesture.moved) this.#handlers.click(gesture.points[0], gesture.negative);
  }

  /**
   * Moves and zooms by two fingers.
   * @param {number} id of the finger that moved
   * @param {Point} to
   */
  #pinch(id, to) {
    const [[, other]] = [...this.#pointers].filter(([key]) => key !== id);
    const from = /** @type {Point} */ (this.#pointers.get(id));
    const middle = (/** @type {Point} */ a) => /** @type {Point} */ ([(a[0] + other[0]) / 2, (a[1] + other[1]) / 2]);
    const span = (/** @type {Point} */ a) => Math.max(1, Math.hypot(a[0] - other[0], a[1] - other[1]));
    const [before, after] = [middle(from), middle(to)];
    this.#stage.pan(after[0] - before[0], after[1] - before[1]);
    this.#stage.zoom(span(to) / span(from), after);
  }

  /** @param {WheelEvent} event */
  #wheel(event) {
    event.preventDefault();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
    // A pinch on a trackpad comes as a wheel with the control key, in small steps.
    const speed = event.ctrlKey ? 0.01 : 0.0015;
    this.#stage.zoom(Math.exp(-event.deltaY * lines * speed), this.#position(event));
  }

  /**
   * @param {MouseEvent} event
   * @returns {Point} in CSS pixels of the stage
   */
  #position(event) {
    const box = this.#stage.element.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }
}
