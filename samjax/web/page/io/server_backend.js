/** Images and masks kept by `samjax serve`, through its API. */

import { Refused } from "./backend.js";
import { readSafetensors } from "../core/safetensors.js";

/** @typedef {import("./backend.js").Backend} Backend */
/** @typedef {import("./backend.js").ImageEntry} ImageEntry */
/** @typedef {import("./backend.js").EmbeddingState} EmbeddingState */

const PAGE = 200;

/**
 * @param {string} api address that its routes begin with
 * @returns {Backend}
 */
export function serverBackend(api) {
  /**
   * @param {string} method
   * @param {string} path
   * @param {{json?: unknown, body?: BodyInit, match?: number, signal?: AbortSignal}} [given]
   * @returns {Promise<Response>}
   */
  async function ask(method, path, { json, body, match, signal } = {}) {
    /** @type {Record<string, string>} */
    const headers = {};
    if (json !== undefined) headers["Content-Type"] = "application/json";
    else if (body !== undefined) headers["Content-Type"] = "application/octet-stream";
    if (match !== undefined) headers["If-Match"] = `"${match}"`;
    /** @type {Response} */
    let response;
    try {
      response = await fetch(api + path, {
        method,
        headers,
        body: json === undefined ? body : JSON.stringify(json),
        signal,
        credentials: "same-origin",
      });
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new Refused(0, "The server cannot be reached. Is samjax serve still running?");
    }
    if (response.ok) return response;
    const answer = await response.json().catch(() => null);
    // Without the form of our errors it was something on the way, or in its place.
    if (!answer?.error?.code) throw new Refused(0, `Something else than samjax serve answered, with the status ${response.status}.`);
    throw new Refused(response.status, answer.error.message, answer);
  }
  const get = async (/** @type {string} */ path, /** @type {AbortSignal} */ signal) =>
    (await ask("GET", path, { signal })).json();
  const path = (/** @type {string} */ id) => `/images/${encodeURIComponent(id)}`;

  /**
   * Asks for an embedding until it is there.
   * @param {ImageEntry} image
   * @param {(state: EmbeddingState) => void} onState
   * @param {AbortSignal} signal
   */
  async function embedded(image, onState, signal) {
    /** @type {EmbeddingState} */
    let state = await (await ask("POST", `${path(image.id)}/embedding`, { json: {}, signal })).json();
    for (let pause = 100; state.state !== "ready"; pause = Math.min(1000, pause * 1.5)) {
      if (state.state === "failed") throw new Refused(422, state.message ?? "The image could not be embedded.");
      onState(state);
      await wait(pause, signal);
      state = await get(`${path(image.id)}/embedding/state`, signal);
    }
    onState(state);
  }

  return {
    mode: "server",
    info: async () => (await ask("GET", "/info")).json(),

    async images(onSome) {
      for (let offset = 0, total = 1; offset < total; ) {
        const answer = await (await ask("GET", `/images?offset=${offset}&limit=${PAGE}`)).json();
        total = answer.total;
        offset += answer.images.length;
        onSome(answer.images, total);
        // The folder got smaller meanwhile.
        if (!answer.images.length) break;
      }
    },

    thumbnail: async (image) => `${api}${path(image.id)}/thumbnail?size=256`,
    pixels: async (image) => (await ask("GET", `${path(image.id)}/pixels`)).blob(),

    async upload(file) {
      return (await ask("PUT", `/images/${encodeURIComponent(file.name)}`, { body: file })).json();
    },

    async features(image, onState, signal) {
      await embedded(image, onState, signal);
      const response = await ask("GET", `${path(image.id)}/embedding?dtype=float16`, { signal });
      const { features } = readSafetensors(await response.arrayBuffer()).tensors;
      return { data: features.data, shape: features.shape };
    },

    async prefetch(image) {
      await ask("POST", `${path(image.id)}/embedding`, { json: { prefetch: true } });
    },

    async annotations(image, since) {
      const query = since === null ? "" : `?since=${since}`;
      return (await ask("GET", `${path(image.id)}/annotations${query}`)).json();
    },

    async create(imageId, annotation) {
      return (await ask("POST", `${path(imageId)}/annotations`, { json: annotation })).json();
    },

    async change(id, revision, changes) {
      return (await ask("PATCH", `/annotations/${encodeURIComponent(id)}`, { json: changes, match: revision })).json();
    },

    async remove(id, revision) {
      await ask("DELETE", `/annotations/${encodeURIComponent(id)}`, { match: revision });
    },

    async restore(id) {
      return (await ask("POST", `/annotations/${encodeURIComponent(id)}/restore`)).json();
    },

    async everything(image, options, onProgress, signal) {
      const started = await ask("POST", `${path(image.id)}/everything`, { json: options });
      const { job } = await started.json();
      const place = `/jobs/${encodeURIComponent(job)}`;
      for (;;) {
        if (signal.aborted) {
          await ask("DELETE", place);
          return null;
        }
        const { state, done, total, records, message, error } = await (await ask("GET", place)).json();
        if (state === "cancelled") return null;
        if (state === "failed") throw new Refused(422, message ?? error?.message ?? "Looking for everything failed.");
        if (state === "done") return records.map(fromRecord);
        onProgress(done, total);
        await wait(400);
      }
    },

    async ask(image, { points, labels, box, mask, text }) {
      const json = { points, labels, box, mask, text, multimask: null };
      return (await (await ask("POST", `${path(image.id)}/predict`, { json })).json()).masks;
    },

    async exportFile(format, image) {
      const one = image ? `&image=${encodeURIComponent(image.id)}` : "";
      // The server names the file.
      return { url: `${api}/export?format=${format}${one}`, name: "" };
    },
  };
}

/**
 * @param {any} record with the fields of SA-1B
 * @returns {import("./backend.js").FoundRecord}
 */
function fromRecord({ segmentation, predicted_iou, stability_score, point_coords }) {
  return {
    segmentation,
    score: predicted_iou,
    stability: stability_score ?? null,
    point: point_coords?.[0] ?? null,
  };
}

/**
 * @param {number} milliseconds
 * @param {AbortSignal} [signal]
 * @returns {Promise<void>}
 */
function wait(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}
