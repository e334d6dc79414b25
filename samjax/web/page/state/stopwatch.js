/** Measures the time spent on a mask, without the time that the page was hidden. */

export class Stopwatch {
  #seconds = 0;
  /** @type {number | null} */
  #since = null;
  #running = false;
  #now;

  /** @param {() => number} [now] in milliseconds */
  constructor(now = () => performance.now()) {
    this.#now = now;
  }

  /** Starts from zero, unless it is running. */
  begin() {
    if (this.#running) return;
    this.#running = true;
    this.#seconds = 0;
    this.#since = this.#now();
  }

  /** @param {boolean} paused */
  pause(paused) {
    if (!this.#running || paused === (this.#since === null)) return;
    if (this.#since !== null) this.#seconds += (this.#now() - this.#since) / 1000;
    this.#since = paused ? null : this.#now();
  }

  /** @returns {number} seconds, with one digit after the point */
  get seconds() {
    const going = this.#since === null ? 0 : (this.#now() - this.#since) / 1000;
    return Math.round((this.#seconds + going) * 10) / 10;
  }

  stop() {
    this.#running = false;
    this.#since = null;
  }
}
