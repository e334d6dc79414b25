/** Colours of masks on the image: distinct, and constant for each mask. */

/** The mask that is being made. */
export const ACTIVE = { fill: "rgb(30 120 255 / 0.42)", line: "#4da3ff" };
/** The mask under the pointer. */
export const HOVER = { fill: "rgb(30 120 255 / 0.28)", line: "rgb(120 185 255 / 0.95)" };
/** An earlier version of a mask. */
export const FORMER = { fill: "rgb(255 255 255 / 0.15)", line: "#ffffff" };
export const FOREGROUND = "#1f9d55";
export const BACKGROUND = "#d92d20";

/**
 * @param {string} uuid
 * @returns {number} a hue in degrees
 */
export function hueOf(uuid) {
  let hash = 0;
  for (const letter of uuid) hash = (Math.imul(hash, 31) + letter.charCodeAt(0)) >>> 0;
  // Multiples of the golden angle are spread evenly, however many there are.
  return (hash * 137.508) % 360;
}

/**
 * @param {string} uuid
 * @param {number} [strength] of the fill
 */
export function colorsOf(uuid, strength = 0.34) {
  const hue = hueOf(uuid).toFixed(0);
  return { fill: `hsl(${hue} 80% 52% / ${strength})`, line: `hsl(${hue} 90% 64%)` };
}
