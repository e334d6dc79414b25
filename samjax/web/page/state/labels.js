/** Labels: the one that the next mask is given, and those used lately, newest first. */

const KEY = "samjax.labels";
const KEPT = 9;

export class Labels {
  /** @type {string[]} */
  recent = [];
  current = "";

  /** @param {string[]} known labels that masks have already */
  constructor(known) {
    try {
      const kept = JSON.parse(localStorage.getItem(KEY) ?? "[]");
      if (Array.isArray(kept)) this.recent = kept.filter((label) => typeof label === "string");
    } catch {
      // Nothing kept.
    }
    for (const label of known) if (!this.recent.includes(label)) this.recent.push(label);
    this.recent = this.recent.filter(Boolean).slice(0, KEPT);
  }

  /**
   * Notes that a label was used. Places of known ones do not change, since fingers learn
   * which number is which.
   * @param {string} label
   */
  use(label) {
    if (!label || this.recent.includes(label)) return;
    this.recent = [...this.recent.slice(0, KEPT - 1), label];
    try {
      localStorage.setItem(KEY, JSON.stringify(this.recent));
    } catch {
      // They last as long as the page.
    }
  }
}
