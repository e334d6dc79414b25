/**
 * A service worker that adds the headers of cross-origin isolation to a host's responses,
 * so that models may use threads. For static hosts whose headers cannot be configured.
 */

const HEADERS = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Resource-Policy": "same-origin",
};
const WITHOUT_BODY = [101, 204, 205, 304];

/** The types of pages and of service workers exclude each other. @type {any} */
const worker = self;

worker.addEventListener("install", () => worker.skipWaiting());
worker.addEventListener("activate", (/** @type {any} */ event) => event.waitUntil(worker.clients.claim()));
worker.addEventListener("fetch", (/** @type {any} */ event) => {
  const isSameOrigin = new URL(event.request.url).origin === location.origin;
  if (isSameOrigin) event.respondWith(fetchIsolated(event.request));
});

/** @param {Request} request */
async function fetchIsolated(request) {
  const response = await fetch(request);
  if (response.type === "opaqueredirect" || WITHOUT_BODY.includes(response.status)) return response;
  const headers = new Headers(response.headers);
  for (const [name, value] of Object.entries(HEADERS)) headers.set(name, value);
  const { status, statusText } = response;
  return new Response(response.body, { status, statusText, headers });
}
