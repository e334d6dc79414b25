/** The fragment of the page's URL, which names the open image. */

/**
 * @param {string} imageId
 * @returns {string} for `location.hash`
 */
export function hashOf(imageId) {
  return `#/image/${encodeURIComponent(imageId)}`;
}

/**
 * @param {string} hash of a URL, which may have been typed by hand
 * @returns {string} the id of an image; empty where none is named
 */
export function imageIdOf(hash) {
  const named = /^#\/image\/(.+)$/.exec(hash)?.[1] ?? "";
  try {
    return decodeURIComponent(named);
  } catch {
    // No image has such an id: it is treated as unknown.
    return named;
  }
}
