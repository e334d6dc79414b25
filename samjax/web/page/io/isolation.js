/** Isolates a page whose host does not, so that its models may use threads. */

const TRIED = "samjax:isolation";

/**
 * Has a service worker add the headers that isolate, and loads the page again.
 *
 * Where that cannot be, or has been tried, nothing happens: models then run on one thread.
 * @param {string} worker address of the service worker, in the folder of the page
 * @returns {Promise<boolean>} whether the page is about to be loaded again
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
