/**
 * A service worker that adds to a host's answers what isolates a page, so that its models
 * may use threads. For static hosts that let nobody say which headers they send.
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
  const isOurs = new URL(event.request.url).origin === location.origin;
  if (isOurs) event.respondWith(fetchIsolated(event.request));
});

/** @param {Request} request */
async function fetchIsolated(request) {
  const answer = await fetch(request);
  if (answer.type === "opaqueredirect" || WITHOUT_BODY.includes(answer.status)) return answer;
  const headers = new Headers(answer.headers);
  for (const [name, value] of Object.entries(HEADERS)) headers.set(name, value);
  const { status, statusText } = answer;
  return new Response(answer.body, { status, statusText, headers });
}
