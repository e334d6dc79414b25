"""Predicted masks of one prompt, with their scores and low-res logits.

Three masks and predicted IoUs of an ambiguous prompt: SAM, section 3 and appendix A.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
from jaxtyping import Bool, Float, Int

from samjax.geometry.frame import Frame
from samjax.geometry.resampling import upscale_logits, upscale_masks


@dataclasses.dataclass(frozen=True, eq=False)
class Masks:
    """The masks of one prompt: whole, part and subpart of an ambiguous one, or one.

    Masks are brought to the original size when they are first read, so a caller who
    wants only the best of three, or only scores, pays for that much.

    Attributes:
        logits: low-res mask logits, in the padded model frame at a quarter of its
            scale. Any of them can be the `mask` of a next prompt.
        scores: predicted IoU of each mask. It may exceed 1.
        frame: the frame of the image.
    """

    logits: Float[np.ndarray, "m lh lw"]
    scores: Float[np.ndarray, " m"]
    frame: Frame

    @functools.cached_property
    def masks(self) -> Bool[np.ndarray, "m h w"]:
        """Masks of the original image's size: true where the logit is above 0."""
        return upscale_masks(self.logits, self.frame)

    @property
    def best(self) -> Masks:
        """The one mask with the highest score, as `Masks` of length 1."""
        return self.select(best_first(self.scores)[:1])

    def best_first(self) -> Masks:
        """Returns the same masks in descending order of score."""
        return self.select(best_first(self.scores))

    def full_logits(self) -> Float[np.ndarray, "m h w"]:
        """Returns the logits at the original image's size, four bytes a pixel."""
        return upscale_logits(self.logits, self.frame)

    def select(self, index: slice | Int[np.ndarray, " k"]) -> Masks:
        """Returns some of the masks, by a slice or by indices."""
        return Masks(self.logits[index], self.scores[index], self.frame)

    def __len__(self) -> int:
        return len(self.scores)


def best_first(scores: Float[np.ndarray, " m"]) -> Int[np.ndarray, " m"]:
    """Returns indices by descending score; of equal scores the first comes first."""
    return np.argsort(-scores, kind="stable")
