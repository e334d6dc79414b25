/**
 * The mask that is being made: from prompts or strokes to something that is kept.
 *
 * All that a person did is one immutable session, so that undo is going back to another
 * one. Nothing here draws; whoever does is told that something changed.
 */

import { History } from "./history.js";
import { isEmpty, NO_PROMPT, withoutPoint, withPoint } from "../core/prompts.js";
import { Stopwatch } from "./stopwatch.js";
import { makeUuid } from "../core/uuid.js";

/** @typedef {import("../model/worker_client.js").DecoderClient} DecoderClient */
/** @typedef {import("../core/prompts.js").Prompt} Prompt */
/** @typedef {import("../core/frame.js").Point} Point */
/** @typedef {import("../core/frame.js").Box} Box */
/** @typedef {import("../core/postprocessing.js").ShownMask} ShownMask */
/** @typedef {import("../core/postprocessing.js").KeptMask} KeptMask */
/** @typedef {import("../core/postprocessing.js").Shape} Shape */
/** @typedef {import("../core/strokes.js").Stroke} Stroke */
/** @typedef {import("../io/backend.js").AnnotationIn} AnnotationIn */
/** @typedef {import("../io/backend.js").Source} Source */
/** @typedef {import("../io/backend.js").Level} Level */

/**
 * @typedef {object} Session
 * @property {Prompt} prompt
 * @property {KeptMask | null} drawn a mask that the decoder did not make: by strokes, or
 *   found before; it is what shows, until a prompt is added, which then starts from it
 * @property {number | null} choice of the decoder's masks; null for the best
 * @property {string | null} editing uuid of the mask that this changes
 * @property {Source} source
 * @property {boolean} edited by strokes
 * @property {number | null} score of `drawn`
 * @property {number | null} stability of `drawn`
 * @property {Level | null} level of `drawn`
 */

/** @type {Session} */
const NOTHING = { prompt: NO_PROMPT, drawn: null, choice: null, editing: null, source: "click", edited: false, score: null, stability: null, level: null };

/**
 * What shows of the session, if anything.
 * @typedef {{shape: Shape, area: number, score: number | null, index: number | null, level: Level | null}} Showing
 */

export class Editor {
  #client;
  #onChange;
  #onProblem;
  /** @type {{key: string, size: [number, number]} | null} */
  #image = null;
  /** Strokes and keeping wait for each other. @type {Promise<unknown>} */
  #turn = Promise.resolve();
  #stopwatch = new Stopwatch();
  history = new History();
  /** @type {Session} */
  session = NOTHING;
  /** @type {{of: Session, masks: ShownMask[]} | null} */
  answer = null;
  /** @type {ShownMask | null} */
  hovered = null;
  /** @type {Stroke | null} */
  stroke = null;
  busy = false;

  /**
   * @param {DecoderClient} client
   * @param {() => void} onChange
   * @param {(error: unknown) => void} onProblem
   */
  constructor(client, onChange, onProblem) {
    this.#client = client;
    this.#onChange = onChange;
    this.#onProblem = onProblem;
    document.addEventListener("visibilitychange", () => this.#stopwatch.pause(document.hidden));
  }

  /**
   * @param {{key: string, size: [number, number]} | null} image null while there is none to ask
   */
  open(image) {
    this.#image = image;
    this.history = new History();
    this.hovered = this.stroke = null;
    this.#set(NOTHING);
  }

  get isReady() {
    return this.#image !== null;
  }

  get isEmpty() {
    return isEmpty(this.session.prompt) && !this.session.drawn;
  }

  /** @returns {Showing | null} */
  get showing() {
    const { drawn, score, choice, level } = this.session;
    if (drawn) return { shape: drawn.shape, area: drawn.area, score, index: null, level };
    if (this.isEmpty || !this.answer) return null;
    const { masks } = this.answer;
    return masks.find(({ index }) => index === choice) ?? masks[0];
  }

  /** @returns {ShownMask[]} the masks that can be chosen from, the largest first */
  get choices() {
    if (this.session.drawn || this.isEmpty || this.answer?.of.prompt !== this.session.prompt) return [];
    return this.answer.masks.length > 1 ? [...this.answer.masks].sort((a, b) => b.area - a.area) : [];
  }

  /**
   * @param {Point} point
   * @param {0 | 1} label
   */
  addPoint(point, label) {
    if (!this.isReady) return;
    performance.mark("samjax:click", { detail: { kind: "point" } });
    this.#step(label ? "the point" : "the negative point", this.#prompted((prompt) => withPoint(prompt, point, label)));
  }

  /** @param {number} index */
  removePoint(index) {
    this.#step("removing a point", this.#prompted((prompt) => withoutPoint(prompt, index)));
  }

  /** @param {Box} box */
  setBox(box) {
    if (!this.isReady) return;
    performance.mark("samjax:click", { detail: { kind: "box" } });
    const next = this.#prompted((prompt) => ({ ...prompt, box }));
    this.#step("the box", { ...next, source: next.source === "click" ? "box" : next.source });
  }

  /** Shows the next of the masks that answer a point. */
  cycle() {
    const { choices } = this;
    if (!choices.length) return;
    const at = choices.findIndex(({ index }) => index === this.showing?.index);
    this.choose(choices[(at + 1) % choices.length].index);
  }

  /** @param {number} index */
  choose(index) {
    this.#set({ ...this.session, choice: index }, false);
  }

  /**
   * Applies a stroke to the mask that shows, or begins one.
   * @param {Stroke} stroke
   * @returns {Promise<void>}
   */
  paint(stroke) {
    return this.#inTurn(async () => {
      const image = this.#image;
      if (!image) return;
      const before = this.session;
      const kept = await this.#kept();
      const drawn = await this.#client.call("stroke", { segmentation: kept?.segmentation ?? null, size: image.size, stroke });
      if (this.session !== before) return;
      const source = this.isEmpty ? "brush" : before.source;
      const { score } = kept ?? { score: null };
      const level = this.showing?.level ?? null;
      this.#step(stroke.erase ? "the eraser" : "the brush", { ...before, drawn, source, edited: true, score, stability: null, level });
    });
  }

  /**
   * Starts from a mask that was found otherwise, or takes up one that was kept.
   * @param {KeptMask} drawn
   * @param {Partial<Session>} given
   * @param {string} name of the step
   */
  take(drawn, given, name) {
    this.#step(name, { ...NOTHING, ...given, drawn });
  }

  discard() {
    if (!this.isEmpty || this.session.editing) this.#step("discarding", NOTHING);
  }

  /**
   * Ends the session, and says what it made.
   * @param {string} label
   * @returns {Promise<{annotation: AnnotationIn, kept: KeptMask, editing: string | null, session: Session} | null>}
   */
  finish(label) {
    return this.#inTurn(async () => {
      await this.#answered;
      const { session, showing } = this;
      const kept = showing && (await this.#kept());
      if (!kept || !showing || !kept.area || this.session !== session) return null;
      const { points, labels, box, mask, text } = session.prompt;
      /** @type {AnnotationIn} */
      const annotation = {
        uuid: session.editing ?? makeUuid(),
        segmentation: kept.segmentation,
        label,
        prompts: { points: [...points], labels: [...labels], box, mask: mask !== null, text },
        score: kept.score,
        stability_score: kept.stabilityScore,
        source: session.source,
        edited: session.edited,
        level: showing.level,
        seconds: this.#stopwatch.seconds,
        author: "",
      };
      this.#set(NOTHING);
      return { annotation, kept, editing: session.editing, session };
    });
  }

  /**
   * Goes to a session without a step of its own: part of another one.
   * @param {Session | null} session
   */
  restore(session) {
    this.#set(session ?? NOTHING);
  }

  /** @param {Point | null} point */
  async hover(point) {
    const image = this.#image;
    if (!image || !point || !this.isEmpty) {
      if (this.hovered) {
        this.hovered = null;
        this.#onChange();
      }
      return;
    }
    const answer = await this.#client.hover(image.key, withPoint(NO_PROMPT, point, 1)).catch(() => null);
    if (!answer || image !== this.#image || !this.isEmpty) return;
    this.hovered = answer.masks[0];
    performance.mark("samjax:model", { detail: { kind: "hover", milliseconds: answer.milliseconds } });
    this.#onChange();
  }

  /** @param {Stroke | null} stroke that is being drawn */
  setStroke(stroke) {
    this.stroke = stroke;
    this.#onChange();
  }

  /**
   * A prompt to a mask that is drawn starts from that mask.
   * @param {(prompt: Prompt) => Prompt} change
   * @returns {Session}
   */
  #prompted(change) {
    const { session } = this;
    const mask = session.drawn?.area ? session.drawn.segmentation : session.prompt.mask;
    return { ...session, prompt: change({ ...session.prompt, mask }), drawn: null, choice: null };
  }

  /**
   * @param {string} name
   * @param {Session} next
   */
  #step(name, next) {
    const before = this.session;
    this.history.push({ name, undo: () => this.#set(before), redo: () => this.#set(next) });
    this.#set(next);
  }

  /** @type {Promise<void>} */
  #answered = Promise.resolve();

  /**
   * @param {Session} session
   * @param {boolean} [ask]
   */
  #set(session, ask = true) {
    this.session = session;
    if (this.isEmpty) {
      this.#stopwatch.stop();
      this.answer = null;
    } else {
      this.#stopwatch.begin();
      this.hovered = null;
    }
    if (ask && !this.isEmpty && !session.drawn) this.#answered = this.#ask(session);
    this.#onChange();
  }

  /** @param {Session} session */
  async #ask(session) {
    const image = this.#image;
    if (!image) return;
    this.busy = true;
    try {
      const { masks, milliseconds } = await this.#client.click(image.key, session.prompt);
      if (this.session.prompt !== session.prompt || this.#image !== image) return;
      performance.mark("samjax:model", { detail: { kind: "click", milliseconds } });
      this.answer = { of: session, masks };
    } catch (error) {
      this.#onProblem(error);
    } finally {
      this.busy = false;
      this.#onChange();
    }
  }

  /** @returns {Promise<(KeptMask & {score: number | null, stabilityScore: number | null}) | null>} */
  async #kept() {
    const { drawn, score, stability } = this.session;
    if (drawn) return { ...drawn, score, stabilityScore: stability };
    if (this.isEmpty) return null;
    await this.#answered;
    const { showing } = this;
    if (!showing || showing.index === null) return null;
    const kept = await this.#client.call("keep", { index: showing.index });
    return { ...kept, score: showing.score };
  }

  /**
   * @template T
   * @param {() => Promise<T>} task
   * @returns {Promise<T>}
   */
  #inTurn(task) {
    const mine = this.#turn.then(task);
    this.#turn = mine.catch(() => {});
    return mine;
  }
}
