/** Makes one mask: from prompts or strokes to an annotation. The state is a `Session`. */

import { NO_PROMPT, toRecorded, withoutPoint, withPoint } from "../core/prompts.js";
import { makeUuid } from "../core/uuid.js";
import { Effort } from "./effort.js";
import { choicesOf, EMPTY_SESSION, isBlank, shownMask, withPrompt } from "./session.js";
import { messageOf } from "./state.js";

/** @typedef {import("../core/frame.js").Point} Point */
/** @typedef {import("../core/frame.js").Box} Box */
/** @typedef {import("../core/postprocessing.js").FullMask} FullMask */
/** @typedef {import("../core/strokes.js").Stroke} Stroke */
/** @typedef {import("../io/backend.js").AnnotationIn} AnnotationIn */
/** @typedef {import("../model/worker_client.js").WorkerClient} WorkerClient */
/** @typedef {import("./history.js").History} History */
/** @typedef {import("./session.js").Session} Session */
/** @typedef {import("./state.js").PageStore} PageStore */

export class Editor {
  #store;
  #client;
  #history;
  /** Strokes and acceptance run one after another. @type {Promise<unknown>} */
  #turn = Promise.resolve();
  /** Resolves once the last prompt is predicted. @type {Promise<void>} */
  #predicted = Promise.resolve();
  #effort = new Effort();
  /** Prompts that are being predicted. */
  #pending = 0;

  /**
   * @param {PageStore} store
   * @param {Pick<WorkerClient, "call" | "click" | "hover">} client
   * @param {History} history
   */
  constructor(store, client, history) {
    this.#store = store;
    this.#client = client;
    this.#history = history;
    store.watch(["image"], () => this.restore(null));
    store.watch(["session"], ({ session }) => {
      if (!isBlank(session)) return this.#effort.begin();
      this.#effort.stop();
      store.set({ isLong: false });
    });
  }

  /** @param {boolean} isPaused whether the time of the mask stands still */
  pause(isPaused) {
    this.#effort.pause(isPaused);
  }

  /** Notes an input of any kind, for the active time of the mask. */
  touch() {
    this.#effort.touch();
  }

  /** Shows whether the mask takes longer than `seconds`. @param {number} seconds */
  checkTime(seconds) {
    const isLong = seconds > 0 && !isBlank(this.#session) && this.#effort.measured.active_seconds >= seconds;
    this.#store.set({ isLong });
  }

  /** @returns {import("../io/backend.js").ImageEntry | null} the image, once it can be prompted */
  get #image() {
    const { image, isReady } = this.#store.state;
    return isReady ? image : null;
  }

  get #session() {
    return this.#store.state.session;
  }

  /**
   * @param {Point} point
   * @param {0 | 1} label
   */
  addPoint(point, label) {
    if (!this.#image) return;
    performance.mark("samjax:click", { detail: { kind: "point" } });
    this.#step(label ? "the point" : "the negative point", withPrompt(this.#session, (prompt) => withPoint(prompt, point, label)), "clicks");
  }

  /** @param {number} index */
  removePoint(index) {
    this.#step("removing a point", withPrompt(this.#session, (prompt) => withoutPoint(prompt, index)), "clicks");
  }

  /** @param {Box} box */
  setBox(box) {
    if (!this.#image) return;
    performance.mark("samjax:click", { detail: { kind: "box" } });
    const next = withPrompt(this.#session, (prompt) => ({ ...prompt, box }));
    this.#step("the box", { ...next, source: next.source === "click" ? "box" : next.source }, "clicks");
  }

  /** Shows the next mask of the multimask output. */
  cycle() {
    const { session, prediction } = this.#store.state;
    const choices = choicesOf(session, prediction);
    if (!choices.length) return;
    const shown = shownMask(session, prediction);
    const at = choices.findIndex(({ index }) => index === shown?.index);
    this.choose(choices[(at + 1) % choices.length].index);
  }

  /** @param {number} index */
  choose(index) {
    this.#set({ ...this.#session, choice: index }, false);
  }

  /**
   * Applies a stroke to the mask on show, or to an empty one.
   * @param {Stroke} stroke
   * @returns {Promise<void>}
   */
  paint(stroke) {
    return this.#inTurn(async () => {
      const image = this.#image;
      if (!image) return;
      const before = this.#session;
      const full = await this.#fullMask();
      const size = /** @type {[number, number]} */ ([image.height, image.width]);
      const drawn = await this.#client.call("stroke", { segmentation: full?.segmentation ?? null, size, stroke });
      if (this.#session !== before) return;
      const source = isBlank(before) ? "brush" : before.source;
      const level = shownMask(before, this.#store.state.prediction)?.level ?? null;
      const next = {
        ...before,
        drawn,
        source,
        edited: true,
        score: full?.score ?? null,
        // It was measured on the mask before the stroke.
        stability: null,
        level,
      };
      this.#step(stroke.erase ? "the eraser" : "the brush", next, "strokes");
    });
  }

  /**
   * Starts a session from a mask: a proposal, or a stored one to be edited.
   * @param {FullMask} drawn
   * @param {Partial<Session>} values
   * @param {string} name of the step
   */
  start(drawn, values, name) {
    this.#step(name, { ...EMPTY_SESSION, ...values, drawn });
  }

  discard() {
    const session = this.#session;
    if (!isBlank(session) || session.editing) this.#step("discarding", EMPTY_SESSION);
  }

  /**
   * Ends the session with an annotation.
   * @param {string} label
   * @returns {Promise<{annotation: AnnotationIn, mask: FullMask, session: Session} | null>}
   *   null where there is no mask, or the session changed meanwhile
   */
  finish(label) {
    return this.#inTurn(async () => {
      await this.#predicted;
      const session = this.#session;
      const shown = shownMask(session, this.#store.state.prediction);
      const mask = shown && (await this.#fullMask());
      if (!mask?.area || !shown || this.#session !== session) return null;
      /** @type {AnnotationIn} */
      const annotation = {
        uuid: session.editing ?? makeUuid(),
        segmentation: mask.segmentation,
        label,
        prompts: toRecorded(session.prompt),
        score: mask.score,
        stability_score: mask.stabilityScore,
        source: session.source,
        edited: session.edited,
        level: shown.level,
        ...this.#effort.measured,
        author: "",
      };
      this.restore(null);
      return { annotation, mask, session };
    });
  }

  /**
   * Sets the session without a step of its own: as part of another step.
   * @param {Session | null} session
   */
  restore(session) {
    this.#set(session ?? EMPTY_SESSION);
  }

  /** @param {Point | null} point */
  async hover(point) {
    const image = this.#image;
    if (!image || !point || !isBlank(this.#session)) {
      this.#store.set({ hovered: null });
      return;
    }
    const prediction = await this.#client.hover(image.id, withPoint(NO_PROMPT, point, 1)).catch(() => null);
    if (!prediction || image !== this.#image || !isBlank(this.#session)) return;
    performance.mark("samjax:model", { detail: { kind: "hover", milliseconds: prediction.milliseconds } });
    this.#store.set({ hovered: prediction.masks[0] });
  }

  /**
   * @param {string} name
   * @param {Session} next
   * @param {"clicks" | "strokes"} [kind] of work
   */
  #step(name, next, kind) {
    const before = this.#session;
    const undo = () => {
      this.#effort.count("undos");
      this.#set(before);
    };
    this.#history.push({ name, undo, redo: () => this.#set(next) });
    this.#set(next);
    if (kind) this.#effort.count(kind);
  }

  /**
   * @param {Session} session
   * @param {boolean} [isPrompted] whether its prompt is to be predicted
   */
  #set(session, isPrompted = true) {
    const { prediction } = this.#store.state;
    // The masks of the last prompt stay on show until those of the new one are there.
    this.#store.set({ session, hovered: null, prediction: isBlank(session) ? null : prediction });
    if (isPrompted && !isBlank(session) && !session.drawn) this.#predicted = this.#predict(session);
  }

  /** @param {Session} session */
  async #predict(session) {
    const image = this.#image;
    if (!image) return;
    this.#pending++;
    this.#store.set({ isPredicting: true });
    try {
      const { masks, milliseconds } = await this.#client.click(image.id, session.prompt);
      if (this.#session.prompt !== session.prompt || this.#image !== image) return;
      performance.mark("samjax:model", { detail: { kind: "click", milliseconds } });
      this.#store.set({ prediction: { session, masks } });
    } catch (error) {
      this.#store.emit("notice", { text: messageOf(error), kind: "problem" });
    } finally {
      this.#store.set({ isPredicting: --this.#pending > 0 });
    }
  }

  /** @returns {Promise<(FullMask & {score: number | null, stabilityScore: number | null}) | null>} the mask on show, at the size of the image */
  async #fullMask() {
    const { drawn, score, stability } = this.#session;
    if (drawn) return { ...drawn, score, stabilityScore: stability };
    if (isBlank(this.#session)) return null;
    await this.#predicted;
    const shown = shownMask(this.#session, this.#store.state.prediction);
    if (!shown || shown.index === null) return null;
    return { ...(await this.#client.call("fullMask", { index: shown.index })), score: shown.score };
  }

  /**
   * @template T
   * @param {() => Promise<T>} task
   * @returns {Promise<T>}
   */
  #inTurn(task) {
    const own = this.#turn.then(task);
    this.#turn = own.catch(() => {});
    return own;
  }
}
