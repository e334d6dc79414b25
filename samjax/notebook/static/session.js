/** State of the widget: accepted objects and the one in progress, as immutable values. */

import { isEmpty, NO_PROMPT } from "../../web/page/core/prompts.js";

/** @typedef {import("../../web/page/core/frame.js").Point} Point */
/** @typedef {import("../../web/page/core/frame.js").Box} Box */
/** @typedef {import("../../web/page/core/prompts.js").Prompt} Prompt */

/**
 * @typedef {object} ObjectState
 * @property {Prompt} prompt points and a box
 * @property {number | null} choice index of the mask that is meant; null for the best
 */

/**
 * @typedef {object} Session
 * @property {readonly ObjectState[]} objects accepted, the oldest first
 * @property {ObjectState} current empty if there is none
 */

/**
 * As `samjax/notebook/session.py` reads it.
 * @typedef {{points: Point[], labels: (0 | 1)[], box: Box | null, choice: number | null}} ObjectJson
 */

/** @type {ObjectState} */
export const NO_OBJECT = Object.freeze({ prompt: NO_PROMPT, choice: null });

/** @type {Session} */
export const EMPTY_SESSION = Object.freeze({ objects: [], current: NO_OBJECT });

/**
 * @param {Session} session
 * @param {(prompt: Prompt) => Prompt} change of the prompt in progress
 * @returns {Session}
 */
export function withPrompt(session, change) {
  return { ...session, current: { prompt: change(session.current.prompt), choice: null } };
}

/**
 * @param {Session} session
 * @param {number} choice
 * @returns {Session}
 */
export function withChoice(session, choice) {
  return { ...session, current: { ...session.current, choice } };
}

/**
 * @param {Session} session
 * @param {number} choice of the mask that is shown
 * @returns {Session} with the object in progress accepted
 */
export function accepted({ objects, current }, choice) {
  return { objects: [...objects, { ...current, choice }], current: NO_OBJECT };
}

/**
 * @param {Session} session
 * @returns {Session} without the object in progress
 */
export function discarded({ objects }) {
  return { objects, current: NO_OBJECT };
}

/**
 * @param {Session} session
 * @param {number} index of an accepted object
 * @returns {Session}
 */
export function withoutObject({ objects, current }, index) {
  return { objects: objects.filter((_, i) => i !== index), current };
}

/**
 * @param {Session} session
 * @returns {boolean}
 */
export function isBlank({ current }) {
  return isEmpty(current.prompt);
}

/** @param {Session} session */
export function toJson({ objects, current }) {
  return { objects: objects.map(objectToJson), current: objectToJson(current) };
}

/**
 * @param {{objects: ObjectJson[], current: ObjectJson}} json
 * @returns {Session}
 */
export function fromJson({ objects, current }) {
  return { objects: objects.map(objectFromJson), current: objectFromJson(current) };
}

/**
 * @param {ObjectState} object
 * @returns {string} equal for equal prompts, whatever mask is chosen
 */
export function keyOf({ prompt }) {
  return keyWithChoice({ prompt, choice: null });
}

/**
 * @param {ObjectState} object
 * @returns {string} equal for equal prompts with the same choice
 */
export function keyWithChoice(object) {
  return JSON.stringify(objectToJson(object));
}

/**
 * @param {ObjectState} object
 * @returns {ObjectJson}
 */
function objectToJson({ prompt: { points, labels, box }, choice }) {
  return { points: [...points], labels: [...labels], box, choice };
}

/**
 * @param {ObjectJson} json
 * @returns {ObjectState}
 */
export function objectFromJson({ points, labels, box, choice }) {
  return { prompt: { ...NO_PROMPT, points, labels, box }, choice };
}
