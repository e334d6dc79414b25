"""The protocol of detectors: a function of an image and texts to boxes.

SAM composes with detectors by box prompts (SAM, sections 2 and 7.4).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int, UInt8


class Detections(NamedTuple):
    """Boxes of an image, none of them suppressed.

    Attributes:
        boxes: XYXY in pixels of the original image, as `Prompt.box`.
        scores: Confidence of each, 0 to 1.
        texts: Index of the text that each is of.
    """

    boxes: Float[np.ndarray, "n 4"]
    scores: Float[np.ndarray, " n"]
    texts: Int[np.ndarray, " n"]


@runtime_checkable
class BoxDetector(Protocol):
    """Finds boxes of what texts describe."""

    def detect(
        self, image: UInt8[np.ndarray, "h w 3"], texts: Sequence[str]
    ) -> Detections:
        """Returns the boxes of every text, any number of them, in pixels of the image.

        Args:
            image: RGB.
            texts: What to look for, one phrase each.
        """
        ...


def check_detections(
    found: Detections, size: tuple[int, int], num_texts: int
) -> Detections:
    """Checks what a detector returned, and cuts boxes to the image.

    Args:
        found: Boxes in pixels of the image.
        size: (h, w) of the image.
        num_texts: Number of texts that were asked for.

    Returns:
        The boxes that have an area inside the image.

    Raises:
        ValueError: Shapes or values are none of a detector.
    """
    boxes = np.asarray(found.boxes, np.float64).reshape(-1, 4)
    scores = np.asarray(found.scores, np.float64).reshape(-1)
    texts = np.asarray(found.texts, np.int64).reshape(-1)
    if not len(boxes) == len(scores) == len(texts):
        raise ValueError(
            f"got {len(boxes)} boxes, {len(scores)} scores and {len(texts)} texts from "
            "the detector, expected as many of each"
        )
    if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
        raise ValueError("got boxes or scores with NaN or infinite values")
    if len(texts) and not 0 <= texts.min() <= texts.max() < num_texts:
        raise ValueError(
            f"got texts {np.unique(texts).tolist()} from the detector, expected indices "
            f"below {num_texts}"
        )
    height, width = size
    boxes = np.clip(boxes, 0, [width, height, width, height])
    kept = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    return Detections(boxes[kept], scores[kept], texts[kept])
