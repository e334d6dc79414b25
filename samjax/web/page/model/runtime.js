/** Loads onnxruntime-web and graphs, in the thread that runs them. */

/** @typedef {typeof import("onnxruntime-web")} Ort */
/** @typedef {import("onnxruntime-web").InferenceSession} InferenceSession */
/** @typedef {{url: string, bytes: number}} GraphFile */

const VENDOR = new URL("../vendor/", import.meta.url).href;

/**
 * Threads share memory, which only isolated pages may have. More than four gain nothing
 * for a decoder of this size.
 * @returns {number}
 */
function threadCount() {
  return self.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency || 1) : 1;
}

/**
 * @param {number} most threads
 * @returns {Promise<{ort: Ort, threads: number}>}
 */
export async function loadRuntime(most) {
  /** @type {Ort} */
  const ort = await import(`${VENDOR}ort.wasm.min.mjs`).catch(() => {
    throw new Error("The runtime of the model could not be loaded: page/vendor/ is not there, or the server cannot be reached.");
  });
  ort.env.wasm.wasmPaths = VENDOR;
  const threads = Math.min(most, threadCount());
  ort.env.wasm.numThreads = threads;
  ort.env.logLevel = "error";
  return { ort, threads };
}

/**
 * @param {Ort} ort
 * @param {Uint8Array} content of a graph
 * @returns {Promise<InferenceSession>}
 */
export function makeSession(ort, content) {
  return ort.InferenceSession.create(content, {
    executionProviders: ["wasm"],
    // Else the model's threads go on waiting busily while the page draws the answer.
    extra: { session: { force_spinning_stop: "1" } },
  });
}

/**
 * @param {GraphFile} file
 * @param {(bytes: number) => void} onBytes is told how many more have come
 * @returns {Promise<Uint8Array>}
 */
export async function fetchBytes({ url }, onBytes) {
  const response = await fetch(url, { credentials: "same-origin" });
  if (!response.ok || !response.body) {
    throw new Error(`The model could not be loaded: the server answered ${response.status}.`);
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
