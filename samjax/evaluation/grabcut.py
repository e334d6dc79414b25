"""GrabCut from a box: a baseline without learning. Needs the `eval` extra.

Rother et al., 2004, in OpenCV's implementation: colour models of object and background,
fitted to the pixels inside and outside the box, alternate with a graph cut. It takes no
other prompt than a box, and predicts no IoU.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Real, UInt8

from samjax.evaluation.segmenter import FixedMasks, Prediction, PromptKind
from samjax.inference.prompts import Prompt


@dataclasses.dataclass(frozen=True)
class GrabCut:
    """GrabCut as a `Segmenter`.

    Attributes:
        iterations: Iterations of fitting and cutting.
    """

    iterations: int = 5

    @property
    def prompt_kinds(self) -> frozenset[PromptKind]:
        """Boxes only."""
        return frozenset(("box",))

    def describe(self) -> Mapping[str, Any]:
        """Returns the name and the number of iterations."""
        return {"name": "grabcut", "iterations": self.iterations}

    def embed(self, image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
        """Returns the image: all computation depends on the box.

        Raises:
            ImportError: OpenCV is missing.
        """
        _cv2()
        return image

    def predict(
        self, embedding: UInt8[np.ndarray, "h w 3"], prompts: Sequence[Prompt]
    ) -> list[Prediction]:
        """Segments the object in each box.

        Raises:
            ValueError: A prompt is not a box alone.
        """
        predictions = []
        for prompt in prompts:
            is_box = prompt.box is not None and not len(prompt.points)
            if prompt.box is None or not is_box or prompt.mask is not None:
                raise ValueError(
                    "got points or a mask, expected a box: GrabCut's prompt"
                )
            mask = cut_out(embedding, prompt.box, iterations=self.iterations)
            masks = FixedMasks(mask[None])
            predictions.append(Prediction(masks, masks))
        return predictions


def cut_out(
    image: UInt8[np.ndarray, "h w 3"], box: Real[np.ndarray, " 4"], *, iterations: int
) -> Bool[np.ndarray, "h w"]:
    """Runs GrabCut on the pixels of a box, including the outermost ones.

    Args:
        image: RGB.
        box: XYXY, indices of the outermost pixels, as `boxes_from_masks` has them.
        iterations: Iterations of fitting and cutting.

    Returns:
        The mask; the whole box if no pixel is outside of it to fit the background to.
    """
    cv2 = _cv2()
    height, width = image.shape[:2]
    left, top = (max(int(np.floor(side)), 0) for side in box[:2])
    right, bottom = (int(np.floor(side)) + 1 for side in box[2:])
    right, bottom = min(right, width), min(bottom, height)
    inside = np.zeros((height, width), bool)
    inside[top:bottom, left:right] = True
    labels = np.where(inside, cv2.GC_PR_FGD, cv2.GC_BGD).astype(np.uint8)
    # The colour mixtures are initialized by k-means from random centres.
    cv2.setRNGSeed(0)
    try:
        cv2.grabCut(
            np.ascontiguousarray(image[:, :, ::-1]),
            labels,
            None,
            np.zeros((1, 65)),
            np.zeros((1, 65)),
            iterations,
            cv2.GC_INIT_WITH_MASK,
        )
    except cv2.error:
        return inside
    return (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)


def _cv2() -> Any:
    try:
        import cv2
    except ImportError as error:
        raise ImportError(
            "GrabCut needs OpenCV: run pip install 'samjax[eval]'"
        ) from error
    return cv2
