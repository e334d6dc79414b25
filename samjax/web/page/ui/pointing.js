/** Handles gestures and the crosshair of the keyboard, by the chosen tool. */

import { clampTo, isInside, toScreen } from "../core/frame.js";
import { boxBetween } from "../core/prompts.js";
import { isProposed, maskAt } from "../state/decisions.js";
import { messageOf } from "../state/state.js";

/** @typedef {import("../core/frame.js").Point} Point */
/** @typedef {import("../state/state.js").PageStore} PageStore */

// In CSS pixels: a click this near to a point of the prompt removes it.
const GRAB = 9;
// In CSS pixels: a shorter side is an accident rather than a box.
const MIN_BOX = 3;

export class Pointing {
  #store;
  #stage;
  #editor;
  #proposals;
  #commands;
  #regions;
  /** Whether the crosshair has been moved since it last placed a point. */
  #isAimed = false;

  /**
   * @param {PageStore} store
   * @param {{stage: import("./stage.js").Stage, editor: import("../state/editor.js").Editor, proposals: import("../state/proposals.js").Proposals, commands: import("../state/commands.js").Commands, regions: import("../state/regions.js").Regions}} parts
   */
  constructor(store, { stage, editor, proposals, commands, regions }) {
    this.#store = store;
    this.#stage = stage;
    this.#editor = editor;
    this.#proposals = proposals;
    this.#commands = commands;
    this.#regions = regions;
  }

  get tool() {
    return this.#store.state.tool;
  }

  /** Ends a gesture without effect. */
  cancel() {
    this.#store.set({ draggedBox: null, stroke: null });
  }

  /** @param {Point | null} point */
  hover(point) {
    const inside = point && isInside(point, this.#stage.imageSize) ? point : null;
    this.#store.set({ pointer: point, crosshair: null });
    const proposed = this.#store.state.masks.filter(isProposed);
    if (proposed.length) this.#commands.highlight((inside && maskAt(proposed, inside)?.uuid) ?? null);
    if (this.tool === "everything") {
      if (this.#store.state.proposals.length) this.#proposals.highlight(inside);
    } else if (this.tool === "add" || this.tool === "box") {
      void this.#editor.hover(this.#store.state.draggedBox ? null : inside);
    }
  }

  /**
   * @param {Point} point
   * @param {boolean} negative
   */
  click(point, negative) {
    if (this.tool === "everything") this.#commands.takeProposal(point);
    else if (this.tool === "region") this.#store.emit("notice", { text: "Drag a box around the region to blur." });
    else if (this.tool === "hand") this.#commands.select(maskAt(this.#store.state.masks, point)?.uuid ?? null);
    else this.#prompt(point, negative);
  }

  /**
   * @param {Point} point
   * @param {boolean} negative
   */
  #prompt(point, negative) {
    const { isReady, session } = this.#store.state;
    if (!isInside(point, this.#stage.imageSize) || !isReady) return;
    const existing = session.prompt.points.findIndex((other) => this.#isNear(point, other));
    if (existing >= 0) this.#editor.removePoint(existing);
    else this.#editor.addPoint(point, negative ? 0 : 1);
    this.#commands.select(null);
  }

  /**
   * @param {Point} a
   * @param {Point} b
   */
  #isNear(a, b) {
    const { view } = this.#store.state;
    const [[ax, ay], [bx, by]] = [toScreen(view, a), toScreen(view, b)];
    return Math.hypot(ax - bx, ay - by) < GRAB;
  }

  /**
   * @param {Point} from
   * @param {Point} to
   * @param {boolean} isDone
   */
  drag(from, to, isDone) {
    const { imageSize, view } = this.#stage;
    const box = boxBetween(clampTo(from, imageSize), clampTo(to, imageSize));
    const least = MIN_BOX / view.scale;
    this.#store.set({ draggedBox: isDone ? null : box });
    const isBox = isDone && box[2] - box[0] > least && box[3] - box[1] > least;
    if (isBox && this.tool === "region") this.#regions.add(box);
    else if (isBox) this.#editor.setBox(box);
    void this.#editor.hover(null);
  }

  /**
   * @param {Point[]} points
   * @param {boolean} isDone
   */
  paint(points, isDone) {
    const { isReady, brushRadius, view } = this.#store.state;
    if (!isReady) return;
    const stroke = { points: [...points], radius: brushRadius / view.scale, erase: this.tool === "eraser" };
    this.#store.set({ pointer: points[points.length - 1], stroke });
    if (!isDone) return;
    // The line stays until the mask includes it, unless another stroke was begun.
    void this.#editor
      .paint(stroke)
      .catch((error) => this.#store.emit("notice", { text: messageOf(error), kind: "problem" }))
      .finally(() => this.#store.state.stroke === stroke && this.#store.set({ stroke: null }));
  }

  /**
   * @param {number} dx in CSS pixels
   * @param {number} dy
   */
  moveCrosshair(dx, dy) {
    const { view, size, imageSize } = this.#stage;
    /** @type {Point} */
    const middle = [(size[1] / 2 - view.x) / view.scale, (size[0] / 2 - view.y) / view.scale];
    const [x, y] = this.#store.state.crosshair ?? clampTo(middle, imageSize);
    // Never on the right or lower edge, which belong to no pixel.
    const [right, bottom] = [imageSize[1] - 0.5, imageSize[0] - 0.5];
    /** @type {Point} */
    const crosshair = [Math.min(right, Math.max(0.5, x + dx / view.scale)), Math.min(bottom, Math.max(0.5, y + dy / view.scale))];
    this.#store.set({ crosshair });
    this.#stage.reveal(crosshair);
    this.#isAimed = true;
    this.#store.emit("announcement", `${Math.round(crosshair[0])}, ${Math.round(crosshair[1])}`);
    void this.#editor.hover(crosshair);
  }

  /**
   * Enter: places a point where the crosshair was moved to; without one, accepts the mask.
   * @param {boolean} negative
   */
  confirm(negative) {
    const { crosshair } = this.#store.state;
    if (crosshair && this.#isAimed) {
      this.#isAimed = false;
      this.click(crosshair, negative || this.tool === "subtract");
      this.#store.emit("announcement", `${negative ? "Negative point" : "Point"} placed. Enter accepts the mask.`);
    } else if (!negative) {
      void this.#commands.accept();
    }
  }
}
