/** The backend of `samjax serve`, through its API. */

import { readSafetensors } from "../core/safetensors.js";
import { Refused } from "./backend.js";

/** @typedef {import("./backend.js").Backend} Backend */
/** @typedef {import("./backend.js").ImageEntry} ImageEntry */
/** @typedef {import("./backend.js").EmbeddingState} EmbeddingState */

const PAGE_SIZE = 200;

/**
 * @param {string} api prefix of its routes
 * @returns {Backend}
 */
export function serverBackend(api) {
  /**
   * @param {string} method
   * @param {string} path
   * @param {{json?: unknown, body?: BodyInit, match?: number, signal?: AbortSignal}} [options]
   * @returns {Promise<Response>}
   */
  async function request(method, path, { json, body, match, signal } = {}) {
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
    const parsed = await response.json().catch(() => null);
    // Without the form of samjax's errors the response is a proxy's, or another server's.
    if (!parsed?.error?.code) throw new Refused(0, `The response, of status ${response.status}, is not samjax serve's.`);
    throw new Refused(response.status, parsed.error.message, parsed);
  }
  const get = async (/** @type {string} */ path, /** @type {AbortSignal} */ signal) =>
    (await request("GET", path, { signal })).json();
  const path = (/** @type {string} */ id) => `/images/${encodeURIComponent(id)}`;

  /**
   * Requests an embedding and polls until it is ready.
   * @param {ImageEntry} image
   * @param {(state: EmbeddingState) => void} onState
   * @param {AbortSignal} signal
   */
  async function waitForEmbedding(image, onState, signal) {
    /** @type {EmbeddingState} */
    let state = await (await request("POST", `${path(image.id)}/embedding`, { json: {}, signal })).json();
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
    info: async () => (await request("GET", "/info")).json(),

    tasks: {
      counts: async () => (await (await request("GET", "/tasks")).json()).counts,
      async claim(person, kind) {
        const response = await request("POST", "/tasks/claim", { json: { person, kinds: [kind] } });
        return response.status === 204 ? null : response.json();
      },
      async renew(id, person) {
        await request("POST", `/tasks/${id}/renew`, { json: { person } });
      },
      async finish(id, person, state, note) {
        await request("POST", `/tasks/${id}/finish`, { json: { person, state, note } });
      },
    },

    team: {
      me: async () => (await request("GET", "/me")).json(),
      instructions: async () => (await (await request("GET", "/instructions")).json()).markdown,
      statistics: async () => (await request("GET", "/statistics")).json(),
      csv: `${api}/statistics.csv`,
      async reopen(id, note) {
        await request("POST", `/tasks/${id}/reopen`, { json: { note } });
      },
      async review(id, verdict, note, times) {
        await request("POST", `/tasks/${id}/review`, { json: { verdict, note, ...times } });
      },
      reviews: async (imageId) => (await (await request("GET", `${path(imageId)}/reviews`)).json()).reviews,
      async reviewMask(id, review) {
        await request("POST", `/annotations/${encodeURIComponent(id)}/review`, { json: review });
      },
      versions: async (id) => (await (await request("GET", `/annotations/${encodeURIComponent(id)}/versions`)).json()).versions,
    },

    regions: {
      list: async (imageId) => (await (await request("GET", `${path(imageId)}/regions`)).json()).regions,
      async add(imageId, { uuid, box }, author) {
        await request("POST", `${path(imageId)}/regions`, { json: { uuid, box, author } });
      },
      async remove(uuid) {
        await request("DELETE", `/regions/${encodeURIComponent(uuid)}`);
      },
    },

    image: async (id) => (await request("GET", path(id))).json(),

    async images(onSome) {
      for (let offset = 0, total = 1; offset < total; ) {
        const page = await (await request("GET", `/images?offset=${offset}&limit=${PAGE_SIZE}`)).json();
        total = page.total;
        offset += page.images.length;
        onSome(page.images, total);
        // The folder may have become smaller meanwhile.
        if (!page.images.length) break;
      }
    },

    thumbnail: async (image) => `${api}${path(image.id)}/thumbnail?size=256`,
    pixels: async (image) => (await request("GET", `${path(image.id)}/pixels`)).blob(),

    async upload(file) {
      return (await request("PUT", `/images/${encodeURIComponent(file.name)}`, { body: file })).json();
    },

    async features(image, onState, signal) {
      await waitForEmbedding(image, onState, signal);
      const response = await request("GET", `${path(image.id)}/embedding?dtype=float16`, { signal });
      const { features } = readSafetensors(await response.arrayBuffer()).tensors;
      return features;
    },

    async prefetch(image) {
      await request("POST", `${path(image.id)}/embedding`, { json: { prefetch: true } });
    },

    async annotations(image, since) {
      const query = since === null ? "" : `?since=${since}`;
      return (await request("GET", `${path(image.id)}/annotations${query}`)).json();
    },

    async create(imageId, annotation) {
      return (await request("POST", `${path(imageId)}/annotations`, { json: annotation })).json();
    },

    async change(id, revision, changes) {
      return (await request("PATCH", `/annotations/${encodeURIComponent(id)}`, { json: changes, match: revision })).json();
    },

    async remove(id, revision) {
      await request("DELETE", `/annotations/${encodeURIComponent(id)}`, { match: revision });
    },

    async restore(id) {
      return (await request("POST", `/annotations/${encodeURIComponent(id)}/restore`)).json();
    },

    async everything(image, options, onProgress, signal) {
      const started = await request("POST", `${path(image.id)}/everything`, { json: options });
      const { job } = await started.json();
      const route = `/jobs/${encodeURIComponent(job)}`;
      for (;;) {
        if (signal.aborted) {
          await request("DELETE", route);
          return null;
        }
        const { state, done, total, records, message, error } = await (await request("GET", route)).json();
        if (state === "cancelled") return null;
        if (state === "failed") throw new Refused(422, message ?? error?.message ?? "Everything mode failed.");
        if (state === "done") return records.map(fromRecord);
        onProgress(done, total);
        await wait(400);
      }
    },

    async predict(image, prompt) {
      const json = { ...prompt, multimask: null };
      return (await (await request("POST", `${path(image.id)}/predict`, { json })).json()).masks;
    },

    async exportFile(format, image) {
      const scope = image ? `&image=${encodeURIComponent(image.id)}` : "";
      // The server's header names the file.
      return { url: `${api}/export?format=${format}${scope}`, name: "" };
    },
  };
}

/**
 * @param {any} record with the fields of SA-1B
 * @returns {import("./backend.js").ProposalRecord}
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
