/**
 * Measures the work on one mask: wall and active seconds, clicks, strokes, undone steps.
 *
 * Wall seconds stand still while the page is hidden. Active seconds are the time between
 * inputs; of a pause longer than `LONGEST_PAUSE` only that much counts.
 */

const LONGEST_PAUSE = 10;

/** @typedef {{seconds: number, active_seconds: number, clicks: number, strokes: number, undos: number}} Measured */

export class Effort {
  #now;
  #isRunning = false;
  #seconds = 0;
  /** Null while the page is hidden. @type {number | null} */
  #since = null;
  #active = 0;
  #touched = 0;
  #clicks = 0;
  #strokes = 0;
  #undos = 0;

  /** @param {() => number} [now] in milliseconds */
  constructor(now = () => performance.now()) {
    this.#now = now;
  }

  /** Starts from zero, unless it is running. */
  begin() {
    if (this.#isRunning) return;
    this.#isRunning = true;
    this.#seconds = this.#active = this.#clicks = this.#strokes = this.#undos = 0;
    this.#since = this.#touched = this.#now();
  }

  stop() {
    this.#isRunning = false;
    this.#since = null;
  }

  /** @param {boolean} paused whether the page is hidden */
  pause(paused) {
    if (!this.#isRunning || paused === (this.#since === null)) return;
    if (this.#since !== null) {
      this.#seconds += (this.#now() - this.#since) / 1000;
      this.touch();
    }
    this.#since = paused ? null : this.#now();
    this.#touched = this.#now();
  }

  /** Notes an input of any kind. */
  touch() {
    if (!this.#isRunning || this.#since === null) return;
    this.#active += this.#pause();
    this.#touched = this.#now();
  }

  /** @param {"clicks" | "strokes" | "undos"} kind */
  count(kind) {
    if (kind === "clicks") this.#clicks++;
    else if (kind === "strokes") this.#strokes++;
    else this.#undos++;
  }

  /** @returns {Measured} seconds with one digit after the point */
  get measured() {
    const going = this.#since === null ? 0 : (this.#now() - this.#since) / 1000;
    return {
      seconds: rounded(this.#seconds + going),
      active_seconds: rounded(this.#active + (this.#since === null ? 0 : this.#pause())),
      clicks: this.#clicks,
      strokes: this.#strokes,
      undos: this.#undos,
    };
  }

  /** @returns {number} seconds since the last input, as far as they count */
  #pause() {
    return Math.min(LONGEST_PAUSE, (this.#now() - this.#touched) / 1000);
  }
}

/** @param {number} seconds */
function rounded(seconds) {
  return Math.round(seconds * 10) / 10;
}

/**
 * Adds the work of a further edit to that of a mask; null where neither was counted.
 * @param {Partial<Record<keyof Measured, number | null>>} before
 * @param {Partial<Record<keyof Measured, number | null>>} more
 * @returns {Measured}
 */
export function addEffort(before, more) {
  const sum = (/** @type {keyof Measured} */ name) =>
    (before[name] ?? null) === null && (more[name] ?? null) === null ? null : (before[name] ?? 0) + (more[name] ?? 0);
  return /** @type {Measured} */ ({
    seconds: sum("seconds") ?? 0,
    active_seconds: sum("active_seconds"),
    clicks: sum("clicks"),
    strokes: sum("strokes"),
    undos: sum("undos"),
  });
}
