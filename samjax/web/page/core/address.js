/** The part of the page's address that names the open image. */

/**
 * @param {string} imageId
 * @returns {string} for `location.hash`
 */
export function hashOf(imageId) {
  return `#/image/${encodeURIComponent(imageId)}`;
}

/**
 * @param {string} hash of an address, which anybody may have typed
 * @returns {string} the id of an image; empty where none is named
 */
export function imageIdOf(hash) {
  const named = /^#\/image\/(.+)$/.exec(hash)?.[1] ?? "";
  try {
    return decodeURIComponent(named);
  } catch {
    // No image has such an id: it is not found, as any other.
    return named;
  }
}
