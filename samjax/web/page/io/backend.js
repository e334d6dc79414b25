/**
 * Types of the backend, which holds images, embeddings and annotations: a server, or in
 * the demo the page itself. Also the error that both throw.
 */

/** @typedef {import("../core/run_lengths.js").Segmentation} Segmentation */
/** @typedef {import("../model/decoder_sessions.js").Features} Features */
/** @typedef {import("../model/everything.js").EverythingOptions} EverythingOptions */
/** @typedef {import("../model/runtime.js").GraphFile} GraphFile */
/** @typedef {import("../core/prompts.js").Prompt} Prompt */
/** @typedef {import("../core/frame.js").Point} Point */
/** @typedef {import("../core/frame.js").Box} Box */

/**
 * @typedef {object} Info
 * @property {string} samjax version
 * @property {string} folder
 * @property {{name: string, image_size: number, grid: [number, number], channels: number, masks: number, text: boolean, everything: import("../model/everything.js").EverythingOptions}} model
 * @property {{prepare: GraphFile, prompt: GraphFile, text?: GraphFile}} decoder `text` only where the page embeds texts itself
 * @property {GraphFile} [encoder] only where the page embeds images itself
 * @property {string[]} labels of stored masks, and those that the command offers
 * @property {Team | null} [team] null where the server has no team
 */

/** @typedef {"annotator" | "reviewer" | "owner"} Role */
/** @typedef {"annotate" | "verify"} TaskKind */

/**
 * The person who is signed in to a team's server, and its settings.
 * @typedef {object} Team
 * @property {string} name
 * @property {Role} role
 * @property {boolean} blind whether reviewers are not told who made what
 * @property {number} hint_seconds on one mask after which the page suggests to move on; 0 for never
 */

/**
 * A person's own numbers.
 * @typedef {object} Me
 * @property {string} name
 * @property {Role} role
 * @property {{finished: number, is_left: Partial<Record<TaskKind, boolean>>, counts: Record<string, Record<string, number>> | null}} progress
 * @property {Record<string, number | null>} numbers
 * @property {{images: number, mean_iou: number | null, missed: number, extra: number} | null} gold once no task is left
 */

/** @typedef {Record<string, number | string | null> & {name: string | number}} StatisticsRow */

/**
 * @typedef {object} Statistics
 * @property {StatisticsRow[]} person
 * @property {StatisticsRow[]} round
 * @property {StatisticsRow[]} model
 * @property {Record<string, Record<string, number>>} counts tasks by kind and state
 * @property {{id: number, image: string, image_id: string, kind: string, state: "skipped" | "flagged", person: string | null, note: string}[]} set_aside
 */

/**
 * The newest verdict on a version of a mask; `open` for one that is taken back.
 * @typedef {{annotation: string, revision: number, verdict: "accepted" | "fixed" | "returned" | "open", note: string, reviewer: string}} MaskReview
 */

/**
 * What a team's server has beside tasks.
 * @typedef {object} TeamBackend
 * @property {() => Promise<Me>} me
 * @property {() => Promise<string>} instructions Markdown
 * @property {() => Promise<Statistics>} statistics
 * @property {string} csv URL of the statistics
 * @property {(id: number, note: string) => Promise<void>} reopen
 * @property {(id: number, verdict: "accepted" | "returned", note: string, times: {seconds: number, active_seconds: number} | null) => Promise<void>} review
 * @property {(imageId: string) => Promise<MaskReview[]>} reviews verdicts on the masks of an image
 * @property {(id: string, review: {task: number, revision: number, verdict: string, note: string}) => Promise<void>} reviewMask
 * @property {(id: string) => Promise<Version[]>} versions of a mask, the oldest first; for reviewers
 */

/**
 * @typedef {object} ImageEntry
 * @property {string} id
 * @property {string} name
 * @property {number} width with the EXIF orientation applied
 * @property {number} height
 * @property {number} annotations number of masks
 * @property {boolean} embedded
 * @property {string | null} problem why it cannot be opened
 */

/**
 * A region to blur, in pixels of the image.
 * @typedef {{uuid: string, box: Box}} Region
 */

/**
 * @typedef {object} RegionBackend
 * @property {(imageId: string) => Promise<Region[]>} list
 * @property {(imageId: string, region: Region, author: string) => Promise<void>} add one that was removed is there again
 * @property {(uuid: string) => Promise<void>} remove
 */

/** @typedef {"click" | "box" | "everything" | "text" | "brush" | "import" | "proposed" | "proposal" | "automatic"} Source */
/** @typedef {"whole" | "part" | "subpart"} Level */

/**
 * @typedef {object} AnnotationIn
 * @property {string} uuid made in the page, so that a request can be repeated
 * @property {Segmentation} segmentation
 * @property {string} label
 * @property {import("../core/prompts.js").RecordedPrompt} prompts
 * @property {number | null} score
 * @property {number | null} stability_score
 * @property {Source} source
 * @property {boolean} edited by brush or eraser
 * @property {Level | null} level
 * @property {number} seconds of work on it
 * @property {string} author
 * @property {number | null} [active_seconds] of them; null where nobody counted
 * @property {number | null} [clicks]
 * @property {number | null} [strokes]
 * @property {number | null} [undos]
 */

/** @typedef {AnnotationIn & {id: string, image_id: string, revision: number, area: number}} Annotation */
/** @typedef {Annotation & {changed: string}} Version of an annotation */

/** @typedef {{revision: number, annotations: Annotation[], deleted: string[]}} Changes */

/**
 * @typedef {object} EmbeddingState
 * @property {"queued" | "running" | "ready" | "failed"} state
 * @property {number} position in the queue
 * @property {number} seconds so far
 * @property {number | null} expected_seconds
 * @property {string | null} message
 */

/**
 * @typedef {object} ProposalRecord
 * @property {Segmentation} segmentation
 * @property {number} score
 * @property {number | null} stability
 * @property {Point | null} point
 */

/**
 * @typedef {object} Task
 * @property {number} id
 * @property {string} image_id
 * @property {string} image its name
 * @property {TaskKind} kind
 * @property {string} note of the person who returned it
 */

/**
 * The queue of annotation tasks.
 * @typedef {object} Tasks
 * @property {() => Promise<Record<string, Record<string, number>>>} counts by kind and state
 * @property {(person: string, kind: TaskKind) => Promise<Task | null>} claim null where none is open
 * @property {(id: number, person: string) => Promise<void>} renew
 * @property {(id: number, person: string, state: "done" | "skipped" | "flagged", note: string) => Promise<void>} finish
 */

/**
 * @typedef {object} Backend
 * @property {"server" | "demo"} mode
 * @property {() => Promise<Info>} info
 * @property {Tasks | null} tasks null in the demo
 * @property {TeamBackend | null} team null in the demo; for servers of teams only
 * @property {RegionBackend | null} regions null in the demo
 * @property {(id: string) => Promise<ImageEntry>} image
 * @property {(onSome: (images: ImageEntry[], total: number) => void) => Promise<void>} images
 * @property {(image: ImageEntry) => Promise<string>} thumbnail its URL
 * @property {(image: ImageEntry) => Promise<Blob>} pixels
 * @property {(file: File) => Promise<ImageEntry>} upload
 * @property {(image: ImageEntry, onState: (state: EmbeddingState) => void, signal: AbortSignal) => Promise<Features>} features
 * @property {(image: ImageEntry) => Promise<void>} prefetch
 * @property {(image: ImageEntry, since: number | null) => Promise<Changes>} annotations
 * @property {(imageId: string, annotation: AnnotationIn) => Promise<Annotation>} create
 * @property {(id: string, revision: number, changes: Partial<AnnotationIn>) => Promise<Annotation>} change
 * @property {(id: string, revision: number) => Promise<void>} remove
 * @property {(id: string) => Promise<Annotation>} restore
 * @property {(image: ImageEntry, options: EverythingOptions, onProgress: (done: number, total: number) => void, signal: AbortSignal) => Promise<ProposalRecord[] | null>} everything null where it was cancelled
 * @property {(image: ImageEntry, prompt: Prompt) => Promise<{segmentation: Segmentation, score: number, note?: string}[]>} predict masks of a prompt, for prompts that the page's decoder does not take
 * @property {(format: "sa1b" | "coco" | "png", image: ImageEntry | null) => Promise<{url: string, name: string}>} exportFile
 */

// Statuses by which a server rejects the content of a request. All others (no response, a
// token that is no longer valid, a proxy that wants a password, a full disk) do not concern
// the content, and a later attempt may succeed.
const REJECTS_CONTENT = new Set([400, 404, 409, 413, 415, 422, 428]);

// An image may be usable again later; edits of other images need not wait for it.
const CONCERNS_IMAGE = new Set(["changed_meanwhile", "unusable_image"]);

/** A request that was not fulfilled; the message is for the user. */
export class Refused extends Error {
  /**
   * @param {number} status of HTTP; 0 without a response of samjax
   * @param {string} message
   * @param {any} [body] of the response, parsed
   */
  constructor(status, message, body = null) {
    super(message);
    this.status = status;
    this.body = body;
  }

  /** Whether the same request may succeed later. */
  get isTemporary() {
    return !REJECTS_CONTENT.has(this.status) || this.concernsImage;
  }

  /** Whether the image is unavailable for now, rather than the content rejected. */
  get concernsImage() {
    return CONCERNS_IMAGE.has(this.body?.error?.code);
  }
}
