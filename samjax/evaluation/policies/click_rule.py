"""The simulated click: the centre of the largest error (SAM, section 7.1).

The centre of a region is its pixel with the largest distance to the boundary. The first
click is the centre of the object; each later one the centre of the false negatives or of
the false positives, whichever has the larger distance. Details that the paper leaves out
follow RITM's clicker, its baseline: the image border is a boundary, distances are
Euclidean and exact, a tie is a background click, and no pixel is clicked twice. Needs the
`eval` extra.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float


class Click(NamedTuple):
    """A click on a pixel.

    Attributes:
        x: Column of the pixel.
        y: Row of the pixel.
        label: 1 foreground, 0 background.
    """

    x: int
    y: int
    label: int


def next_click(
    target: Bool[np.ndarray, "h w"],
    predicted: Bool[np.ndarray, "h w"] | None = None,
    clicked: Bool[np.ndarray, "h w"] | None = None,
) -> Click | None:
    """Returns the next click on an object.

    Args:
        target: The object.
        predicted: The last mask; None before the first click.
        clicked: Pixels that were clicked before.

    Returns:
        The click, or None if there is no error left, or only on clicked pixels.
    """
    if predicted is None:
        predicted = np.zeros_like(target)
    missed = interior_distance(target & ~predicted)
    excess = interior_distance(predicted & ~target)
    if clicked is not None:
        missed, excess = np.where(clicked, 0, missed), np.where(clicked, 0, excess)
    is_missed = missed.max() > excess.max()
    distance = missed if is_missed else excess
    if distance.max() == 0:
        return None
    # Of equal maxima the first in row order, which is part of the protocol.
    y, x = np.unravel_index(np.argmax(distance), distance.shape)
    return Click(int(x), int(y), int(is_missed))


def interior_distance(region: Bool[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """Returns each pixel's Euclidean distance to the nearest pixel outside the region.

    It is 0 outside the region. Pixels beyond the image border are outside.

    Raises:
        ImportError: OpenCV is missing.
    """
    try:
        import cv2
    except ImportError as error:
        raise ImportError(
            "simulated clicks need OpenCV: run pip install 'samjax[eval]'"
        ) from error
    padded = np.pad(region, 1).astype(np.uint8)
    # The 3 x 3 and 5 x 5 masks are faster, and their errors choose other pixels.
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return distance[1:-1, 1:-1]
