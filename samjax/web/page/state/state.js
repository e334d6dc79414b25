/** The state of the page and its events; who changes which key stands beside it. */

import { Store } from "../core/store.js";
import { EMPTY_SESSION } from "./session.js";

/** @typedef {import("../core/frame.js").Point} Point */
/** @typedef {import("../core/frame.js").Box} Box */
/** @typedef {import("../core/frame.js").View} View */
/** @typedef {import("../core/strokes.js").Stroke} Stroke */
/** @typedef {import("../core/postprocessing.js").PreviewMask} PreviewMask */
/** @typedef {import("../io/backend.js").Annotation} Annotation */
/** @typedef {import("../io/backend.js").ImageEntry} ImageEntry */
/** @typedef {import("../io/backend.js").MaskReview} MaskReview */
/** @typedef {import("../io/backend.js").Me} Me */
/** @typedef {import("../io/backend.js").Region} Region */
/** @typedef {import("../io/backend.js").Task} Task */
/** @typedef {import("../io/backend.js").Team} Team */
/** @typedef {import("../io/outbox.js").PendingEdit} PendingEdit */
/** @typedef {import("../io/outbox.js").OutboxState} OutboxState */
/** @typedef {import("./mask_list.js").Mask} Mask */
/** @typedef {import("./proposals.js").Proposal} Proposal */
/** @typedef {import("./session.js").Session} Session */

/** @typedef {"add" | "subtract" | "box" | "brush" | "eraser" | "hand" | "everything" | "region"} Tool */

/**
 * An edit that lost against another client's.
 * @typedef {{edit: PendingEdit, current: Annotation}} Conflict
 */

/**
 * @typedef {object} State
 * @property {"loading" | "embedding" | "ready" | "error"} phase of the page; `Opening`
 * @property {ImageEntry | null} image that is open; `Commands`
 * @property {boolean} isReady whether its embedding is in the decoder; `Opening`
 * @property {{text: string, share: number | null, isFailed: boolean} | null} progress of opening it; `Opening`
 * @property {Tool} tool `Commands`
 * @property {number} brushRadius in CSS pixels; `Commands`
 * @property {View} view of the image on the screen; `Stage`
 * @property {Point | null} pointer in pixels of the image; `Pointing`
 * @property {Point | null} crosshair of the keyboard; `Pointing`
 * @property {Box | null} draggedBox while it is drawn; `Pointing`
 * @property {Stroke | null} stroke while it is drawn; `Pointing`
 * @property {Session} session the mask that is being made; `Editor`
 * @property {{session: Session, masks: PreviewMask[]} | null} prediction for a session's prompt; `Editor`
 * @property {boolean} isPredicting `Editor`
 * @property {PreviewMask | null} hovered mask under the pointer, before a click; `Editor`
 * @property {string | null} undoable name of the step that undo takes back; `History`
 * @property {string | null} redoable `History`
 * @property {readonly Mask[]} masks of the image, oldest first, without the removed ones; `MaskList`
 * @property {string | null} selected uuid of a mask; `Commands`
 * @property {string | null} highlighted uuid of a mask in the list, or key of a proposal, under the pointer; `Commands`, `Proposals`
 * @property {readonly Proposal[]} proposals of everything mode, the largest first; `Proposals`
 * @property {{done: number, total: number} | null} searching progress of everything mode; `Proposals`
 * @property {boolean} isFinding whether the mask of a text is on its way; `TextSearch`
 * @property {boolean} hasSearched whether everything mode has run to its end; `Proposals`
 * @property {readonly MaskReview[]} reviews verdicts on masks of the image; `MaskReviews`
 * @property {readonly import("../io/backend.js").Version[]} versions of the selected mask; `Versions`
 * @property {{revision: number, shape: import("../core/postprocessing.js").Shape} | null} former version on show; `Versions`
 * @property {readonly Region[]} regions of the image that are to be blurred; `Regions`
 * @property {string} label for the next mask; `Labels`
 * @property {readonly string[]} recentLabels `Labels`
 * @property {OutboxState} outbox `Outbox`
 * @property {boolean} isOffline whether the server could not be polled; `Sync`
 * @property {readonly Conflict[]} conflicts that wait for a decision; `Sync`
 * @property {string} person name of who annotates, kept in the browser; `Queue`
 * @property {Task | null} task that the person has; `Queue`
 * @property {{done: number, total: number} | null} queue number of its tasks; null without a queue; `Queue`
 * @property {Team | null} team the person who is signed in; null without a team; set once by the page
 * @property {Me | null} me the person's own numbers, on a team's server; `Queue`
 * @property {boolean} isLong whether the mask takes longer than the project suggests; `Editor`
 */

/**
 * @typedef {object} Notice
 * @property {string} text
 * @property {"note" | "problem"} [kind]
 * @property {{name: string, run: () => void}} [action]
 */

/**
 * @typedef {object} Events
 * @property {Notice} notice shown for a while, or until it is closed if it is a problem
 * @property {string} announcement for screen readers only
 * @property {PendingEdit} edit of a mask, to be saved
 * @property {{edit: PendingEdit, annotation: Annotation | null, isLast: boolean}} saved an edit; isLast: no other of its mask is pending
 * @property {Conflict} conflict
 * @property {{edit: PendingEdit, message: string}} refused an edit that the server rejects for its content
 */

/** @typedef {Store<State, Events>} PageStore */

/** @returns {PageStore} */
export function makeStore() {
  /** @type {State} */
  const initial = {
    phase: "loading",
    image: null,
    isReady: false,
    progress: null,
    tool: "add",
    brushRadius: 18,
    view: { scale: 1, x: 0, y: 0 },
    pointer: null,
    crosshair: null,
    draggedBox: null,
    stroke: null,
    session: EMPTY_SESSION,
    prediction: null,
    isPredicting: false,
    hovered: null,
    undoable: null,
    redoable: null,
    masks: [],
    selected: null,
    highlighted: null,
    proposals: [],
    searching: null,
    isFinding: false,
    hasSearched: false,
    regions: [],
    reviews: [],
    versions: [],
    former: null,
    label: "",
    recentLabels: [],
    outbox: { size: 0, isStuck: false, problem: null },
    isOffline: false,
    conflicts: [],
    person: "",
    task: null,
    queue: null,
    team: null,
    me: null,
    isLong: false,
  };
  return new Store(initial);
}

/**
 * @param {unknown} error
 * @returns {string}
 */
export function messageOf(error) {
  return error instanceof Error ? error.message : String(error);
}
