/** Loads onnxruntime-web and graphs, in the worker that runs them. */

/** @typedef {typeof import("onnxruntime-web")} Ort */
/** @typedef {import("onnxruntime-web").InferenceSession} InferenceSession */
/** @typedef {{url: string, bytes: number}} GraphFile */

const VENDOR = new URL("../vendor/", import.meta.url).href;

/**
 * Threads share memory, which browsers allow to cross-origin isolated pages alone. More
 * than four gain nothing for a decoder of this size.
 * @returns {number}
 */
function threadCount() {
  return self.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency || 1) : 1;
}

/**
 * @param {number} maxThreads
 * @returns {Promise<{ort: Ort, threads: number}>}
 */
export async function loadRuntime(maxThreads) {
  /** @type {Ort} */
  const ort = await import(`${VENDOR}ort.wasm.min.mjs`).catch(() => {
    throw new Error("The model's runtime could not be loaded: page/vendor/ is missing, or the server cannot be reached.");
  });
  ort.env.wasm.wasmPaths = VENDOR;
  const threads = Math.min(maxThreads, threadCount());
  ort.env.wasm.numThreads = threads;
  ort.env.logLevel = "error";
  return { ort, threads };
}

/**
 * @param {Ort} ort
 * @param {Uint8Array} content of an ONNX file
 * @returns {Promise<InferenceSession>}
 */
export function makeSession(ort, content) {
  return ort.InferenceSession.create(content, {
    executionProviders: ["wasm"],
    // By default idle threads spin, and take the cores from the page while it draws.
    extra: { session: { force_spinning_stop: "1" } },
  });
}

/**
 * @param {GraphFile} file
 * @param {(bytes: number) => void} onBytes called with the length of each chunk
 * @returns {Promise<Uint8Array>}
 */
export async function fetchBytes({ url }, onBytes) {
  const response = await fetch(url, { credentials: "same-origin" });
  if (!response.ok || !response.body) {
    throw new Error(`The model could not be loaded: the server's status was ${response.status}.`);
  }
  /** @type {Uint8Array[]} */
  const parts = [];
  const reader = response.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    onBytes(value.length);
  }
  const content = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    content.set(part, at);
    at += part.length;
  }
  return content;
}
