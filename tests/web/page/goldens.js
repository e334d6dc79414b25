/** Inputs that `make_goldens.py` makes too, and its expected outputs. */

import { readFileSync } from "node:fs";

import { maskToCounts, toSegmentation } from "../../../samjax/web/page/core/run_lengths.js";

export const goldens = JSON.parse(readFileSync(new URL("./goldens.json", import.meta.url), "utf8"));

/**
 * @param {number} count
 * @returns {Uint8Array}
 */
export function bytesLike(count) {
  const out = new Uint8Array(count);
  for (let i = 0; i < count; i++) out[i] = ((Math.imul(i, 1103515245) + 12345) >>> 16) & 255;
  return out;
}

/**
 * @param {number} count
 * @returns {Uint8Array}
 */
export function bitsLike(count) {
  return bytesLike(count).map((value) => (value > 128 ? 1 : 0));
}

/**
 * @param {number} seed
 * @returns {(below: number) => number} whole numbers from 0, the same for a seed
 */
export function dice(seed) {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/**
 * @param {Uint8Array} bits
 * @param {[number, number]} size
 */
export function encode(bits, size) {
  return toSegmentation(maskToCounts(bits, size), size);
}
