/** What pointers and the crosshair of the keyboard do to the image, by the tool at hand. */

import { announce, messageOf, notify } from "./notices.js";
import { clampTo, isInside, toScreen } from "../core/frame.js";
import { boxBetween, NO_PROMPT } from "../core/prompts.js";
import { covers, textToCounts } from "../core/run_lengths.js";

/** @typedef {import("../core/frame.js").Point} Point */
/** @typedef {import("../core/frame.js").Box} Box */
/** @typedef {import("./gestures.js").Tool} Tool */

// In CSS pixels: how near a click must be to a point to take it away.
const GRAB = 9;

export class Pointing {
  /** @type {Tool} */
  tool = "add";
  /** @type {Point | null} */
  crosshair = null;
  /** @type {Point | null} */
  pointer = null;
  /** That is being dragged. @type {Box | null} */
  box = null;
  /** Of the brush, in CSS pixels. */
  brushRadius = 18;
  /** Whether the crosshair has been moved since it last placed a point. */
  #isAimed = false;

  /**
   * @param {{stage: import("./stage.js").Stage, editor: import("../state/editor.js").Editor, found: import("../state/proposals.js").Found, store: import("../state/mask_list.js").MaskStore, select: (uuid: string | null) => void, accept: () => void}} given
   */
  constructor({ stage, editor, found, store, select, accept }) {
    this.stage = stage;
    this.editor = editor;
    this.found = found;
    this.store = store;
    this.select = select;
    this.accept = accept;
  }

  /** Forgets what belonged to another image. */
  reset() {
    this.crosshair = this.pointer = this.box = null;
  }

  /** Gives up a gesture that was begun. */
  cancel() {
    this.box = null;
    this.editor.setStroke(null);
  }

  /** @returns {{point: Point, radius: number} | null} the tip of the brush */
  get tip() {
    const paints = this.tool === "brush" || this.tool === "eraser";
    return paints && this.pointer ? { point: this.pointer, radius: this.brushRadius / this.stage.view.scale } : null;
  }

  /** @param {Point | null} point */
  hover(point) {
    const inside = point && isInside(point, this.stage.imageSize) ? point : null;
    // Drawing takes time from the model: only what follows the pointer is drawn again.
    const follows = this.tip !== null || this.crosshair !== null;
    this.pointer = point;
    this.crosshair = null;
    if (this.tool === "everything" && this.found.masks.length) {
      if (this.found.pointAt(inside)) this.stage.redrawBelow();
    } else if (this.tool === "add" || this.tool === "box") {
      void this.editor.hover(this.box ? null : inside);
    }
    if (follows || this.tip) this.stage.redrawAbove();
  }

  /**
   * @param {Point} point
   * @param {boolean} negative
   */
  click(point, negative) {
    const { editor } = this;
    if (this.tool === "everything") {
      const mask = this.found.at(point);
      if (!mask) return;
      this.found.drop(mask.key);
      const { score, stability, point: asked } = mask;
      const prompt = asked ? { ...NO_PROMPT, points: [asked], labels: [/** @type {const} */ (1)] } : NO_PROMPT;
      editor.take(mask.kept, { source: "everything", score, stability, prompt }, "taking a mask");
      return;
    }
    if (this.tool === "hand") {
      const under = this.store.list.filter(({ visible, segmentation }) => visible && covers(textToCounts(segmentation.counts), segmentation.size, point));
      this.select(under.sort((a, b) => a.area - b.area)[0]?.uuid ?? null);
      return;
    }
    if (!isInside(point, this.stage.imageSize) || !editor.isReady) return;
    const own = editor.session.prompt.points.findIndex((other) => this.#isNear(point, other));
    if (own >= 0) editor.removePoint(own);
    else editor.addPoint(point, negative ? 0 : 1);
    this.select(null);
  }

  /**
   * @param {Point} a
   * @param {Point} b
   */
  #isNear(a, b) {
    const [[ax, ay], [bx, by]] = [toScreen(this.stage.view, a), toScreen(this.stage.view, b)];
    return Math.hypot(ax - bx, ay - by) < GRAB;
  }

  /**
   * @param {Point} from
   * @param {Point} to
   * @param {boolean} isDone
   */
  drag(from, to, isDone) {
    const { imageSize, view } = this.stage;
    const box = boxBetween(clampTo(from, imageSize), clampTo(to, imageSize));
    this.box = isDone ? null : box;
    const least = 3 / view.scale;
    if (isDone && box[2] - box[0] > least && box[3] - box[1] > least) this.editor.setBox(box);
    void this.editor.hover(null);
    this.stage.redrawAbove();
  }

  /**
   * @param {Point[]} points
   * @param {boolean} isDone
   */
  paint(points, isDone) {
    if (!this.editor.isReady) return;
    const stroke = { points: [...points], radius: this.brushRadius / this.stage.view.scale, erase: this.tool === "eraser" };
    this.pointer = points[points.length - 1];
    this.editor.setStroke(stroke);
    if (!isDone) return;
    // The line stays until the mask has taken it in.
    void this.editor
      .paint(stroke)
      .catch((error) => notify(messageOf(error), { kind: "problem" }))
      .finally(() => this.editor.setStroke(null));
  }

  /**
   * @param {number} dx in CSS pixels
   * @param {number} dy
   */
  moveCrosshair(dx, dy) {
    const { view, size, imageSize } = this.stage;
    /** @type {Point} */
    const middle = [(size[1] / 2 - view.x) / view.scale, (size[0] / 2 - view.y) / view.scale];
    const [x, y] = this.crosshair ?? clampTo(middle, imageSize);
    // Never on the right or lower edge, which belongs to no pixel.
    const [right, bottom] = [imageSize[1] - 0.5, imageSize[0] - 0.5];
    this.crosshair = [Math.min(right, Math.max(0.5, x + dx / view.scale)), Math.min(bottom, Math.max(0.5, y + dy / view.scale))];
    this.stage.reveal(this.crosshair);
    this.#isAimed = true;
    announce(`${Math.round(this.crosshair[0])}, ${Math.round(this.crosshair[1])}`);
    void this.editor.hover(this.crosshair);
    this.stage.redrawAbove();
  }

  /**
   * Enter: places a point where the crosshair was moved to; else accepts.
   * @param {boolean} negative
   */
  confirm(negative) {
    if (this.crosshair && this.#isAimed) {
      this.#isAimed = false;
      this.click(this.crosshair, negative || this.tool === "subtract");
      announce(`${negative ? "Negative point" : "Point"} placed. Enter accepts the mask.`);
    } else if (!negative) {
      this.accept();
    }
  }
}
