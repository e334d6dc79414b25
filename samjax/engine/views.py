"""Views of a photo: its mirror image, and itself smaller in the model's frame.

A model that knows an object finds it in all of them; what it finds in one alone owes its
outline to where patches and points happened to lie.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float, UInt8

from samjax.geometry.frame import Frame
from samjax.geometry.masks import counts_to_mask, mask_to_counts
from samjax.inference.automatic.records import Proposal
from samjax.inference.embedding import ImageEmbedding
from samjax.inference.images import ImageSource, read_image
from samjax.inference.predictor import Predictor


@dataclasses.dataclass(frozen=True)
class View:
    """A way to show a photo to a model.

    Attributes:
        mirrored: Whether left and right change places.
        scale: Longest side in the model's frame, over the frame's side; above 0 and up
            to 1. The rest of the frame is padding, and every object smaller.
    """

    mirrored: bool = False
    scale: float = 1.0

    def __post_init__(self):
        if not 0 < self.scale <= 1:
            raise ValueError(
                f"got a view at scale={self.scale}, expected above 0 and up to 1: a "
                "photo at a scale above 1 does not fit the model's frame"
            )

    def of_image(self, image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
        """Returns the pixels of a photo as this view shows them, at its own size."""
        return np.ascontiguousarray(image[:, ::-1]) if self.mirrored else image

    def of_points(self, points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
        """Returns where points (x, y) of the photo are in this view, both from 0 to 1."""
        return np.abs(points - [1, 0]) if self.mirrored else points

    def to_photo(self, proposal: Proposal, size: tuple[int, int]) -> Proposal:
        """Returns a mask that was found in this view in the frame of the photo, exactly.

        Args:
            proposal: In the frame of the view, which is of the photo's size.
            size: (h, w) of the photo.
        """
        if not self.mirrored:
            return proposal
        width = size[1]
        # Ends of crops are behind the last pixel, those of boxes on it.
        left, top, right, bottom = proposal.box
        first, upper, last, lower = proposal.crop_box
        x, y = proposal.point
        return proposal._replace(
            counts=mask_to_counts(counts_to_mask(proposal.counts, size)[:, ::-1]),
            box=(width - 1 - right, top, width - 1 - left, bottom),
            point=(width - x, y),
            crop_box=(width - last, upper, width - first, lower),
        )

    def predictor(self, predictor: Predictor) -> Predictor:
        """Returns a predictor that embeds images at this view's scale."""
        if self.scale == 1:
            return predictor
        return _AtScale(predictor.model, predictor.params, self.scale)


@dataclasses.dataclass(frozen=True, eq=False)
class _AtScale(Predictor):
    """Embeds images smaller than the frame of its model allows."""

    view_scale: float

    def embed(self, image: ImageSource) -> ImageEmbedding:
        pixels = read_image(image)
        side = self.model.config.image_size
        longest = max(1, round(self.view_scale * side))
        frame = Frame.fit((pixels.shape[0], pixels.shape[1]), longest)
        frame = dataclasses.replace(frame, model_size=side)
        return self.embed_resized([(frame.resize_image(pixels), frame)])[0]
