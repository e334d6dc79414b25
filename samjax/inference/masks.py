"""The answer to one prompt: masks, how good the model thinks they are, their logits."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
from jaxtyping import Bool, Float

from samjax.geometry.frame import Frame
from samjax.geometry.resampling import upscale_logits, upscale_masks


@dataclasses.dataclass(frozen=True, eq=False)
class Masks:
    """The masks of one prompt: whole, part and subpart of an ambiguous one, or one.

    Bringing masks to the original size is done when they are first asked for, so a
    caller who wants only the best of three, or only scores, pays for that much.

    Attributes:
        logits: low-res mask logits, in the padded model frame at a quarter of its
            scale. Any of them can be the `mask` of a next prompt.
        scores: the model's estimate of each mask's IoU with what was meant. It may
            exceed 1.
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
        index = int(self.scores.argmax())
        best = slice(index, index + 1)
        return Masks(self.logits[best], self.scores[best], self.frame)

    def full_logits(self) -> Float[np.ndarray, "m h w"]:
        """Returns the logits at the original image's size, four bytes a pixel."""
        return upscale_logits(self.logits, self.frame)

    def __len__(self) -> int:
        return len(self.scores)
