/**
 * What the page asks of whoever keeps images and masks: a server, or the page itself in
 * the demo. Types only, and the error that both throw.
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
 * @property {{prepare: GraphFile, prompt: GraphFile}} decoder
 * @property {GraphFile} [encoder] only where the page embeds
 * @property {string[]} labels that masks have already
 */

/**
 * @typedef {object} ImageEntry
 * @property {string} id
 * @property {string} name
 * @property {number} width after the orientation of its EXIF
 * @property {number} height
 * @property {number} annotations how many
 * @property {boolean} embedded
 * @property {string | null} problem why it cannot be used
 */

/** @typedef {"click" | "box" | "everything" | "text" | "brush" | "import"} Source */
/** @typedef {"whole" | "part" | "subpart"} Level */

/**
 * @typedef {object} AnnotationIn
 * @property {string} uuid made in the page, so that sending twice is harmless
 * @property {Segmentation} segmentation
 * @property {string} label
 * @property {{points: Point[], labels: (0 | 1)[], box: Box | null, mask: boolean, text: string | null}} prompts
 * @property {number | null} score
 * @property {number | null} stability_score
 * @property {Source} source
 * @property {boolean} edited by brush or eraser
 * @property {Level | null} level
 * @property {number} seconds spent on it
 * @property {string} author
 */

/** @typedef {AnnotationIn & {id: string, image_id: string, revision: number, area: number}} Annotation */

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
 * @typedef {object} FoundRecord
 * @property {Segmentation} segmentation
 * @property {number} score
 * @property {number | null} stability
 * @property {Point | null} point
 */

/**
 * @typedef {object} Backend
 * @property {"server" | "demo"} mode
 * @property {() => Promise<Info>} info
 * @property {(onSome: (images: ImageEntry[], total: number) => void) => Promise<void>} images
 * @property {(image: ImageEntry) => Promise<string>} thumbnail an address
 * @property {(image: ImageEntry) => Promise<Blob>} pixels
 * @property {(file: File) => Promise<ImageEntry>} upload
 * @property {(image: ImageEntry, onState: (state: EmbeddingState) => void, signal: AbortSignal) => Promise<Features>} features
 * @property {(image: ImageEntry) => Promise<void>} prefetch
 * @property {(image: ImageEntry, since: number | null) => Promise<Changes>} annotations
 * @property {(imageId: string, annotation: AnnotationIn) => Promise<Annotation>} create
 * @property {(id: string, revision: number, changes: Partial<AnnotationIn>) => Promise<Annotation>} change
 * @property {(id: string, revision: number) => Promise<void>} remove
 * @property {(id: string) => Promise<Annotation>} restore
 * @property {(image: ImageEntry, options: EverythingOptions, onProgress: (done: number, total: number) => void, signal: AbortSignal) => Promise<FoundRecord[] | null>} everything
 * @property {(image: ImageEntry, prompt: Prompt) => Promise<{segmentation: Segmentation, score: number}[]>} ask
 * @property {(format: "sa1b" | "coco" | "png", image: ImageEntry | null) => Promise<{url: string, name: string}>} exportFile
 */

// Statuses by which a server refuses what it was sent. Whatever else comes (nothing, a
// token that it does not know any more, a proxy that wants a password, a full disk) says
// nothing of what was sent, and may be over the next time.
const OF_THE_CONTENT = new Set([400, 404, 409, 413, 415, 422, 428]);

// What an image is at the moment may be over too; masks of others need not wait for it.
const OF_THE_IMAGE = new Set(["changed_meanwhile", "unusable_image"]);

/** An answer that says no, in words for the person who reads it. */
export class Refused extends Error {
  /**
   * @param {number} status 0 where nothing answered that is a server of ours
   * @param {string} message
   * @param {any} [body]
   */
  constructor(status, message, body = null) {
    super(message);
    this.status = status;
    this.body = body;
  }

  /** Whether the same request may well succeed later. */
  get isPassing() {
    return !OF_THE_CONTENT.has(this.status) || this.isOfTheImage;
  }

  /** Whether only the image is not to be used for now. */
  get isOfTheImage() {
    return OF_THE_IMAGE.has(this.body?.error?.code);
  }
}
