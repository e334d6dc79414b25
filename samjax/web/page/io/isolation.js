/** Makes a page cross-origin isolated where its host does not, so that threads may share memory. */

const TRIED = "samjax:isolation";

/**
 * Registers a service worker that adds the headers of isolation, and reloads the page.
 *
 * Where that is impossible, or was tried before, it has no effect: models then run on one
 * thread.
 * @param {string} worker URL of the service worker, in the folder of the page
 * @returns {Promise<boolean>} whether the page is about to be reloaded
 */
export async function isolate(worker) {
  if (self.crossOriginIsolated || !self.isSecureContext || !("serviceWorker" in navigator)) return false;
  try {
    if (sessionStorage.getItem(TRIED)) return false;
    sessionStorage.setItem(TRIED, "yes");
    await navigator.serviceWorker.register(worker);
    await navigator.serviceWorker.ready;
  } catch {
    // Blocked by the browser's settings, or by the host.
    return false;
  }
  location.reload();
  return true;
}
