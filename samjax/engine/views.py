"""Views of a photo: its mirror image, and the photo at a smaller scale in the frame.

A model segments a familiar object in all views; a mask that appears in one alone owes its
outline to the positions of patches and points.
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
    """A transformation of a photo before the model.

    Attributes:
        mirrored: Whether the photo is flipped horizontally.
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
        """Returns a photo's pixels in this view, at the photo's size."""
        return np.ascontiguousarray(image[:, ::-1]) if self.mirrored else image

    def of_points(self, points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
        """Maps points (x, y) of the photo to this view, both in 0 to 1."""
        return np.abs(points - [1, 0]) if self.mirrored else points

    def to_photo(self, proposal: Proposal, size: tuple[int, int]) -> Proposal:
        """Maps a mask of this view to the frame of the photo, exactly.

        Args:
            proposal: A mask in the frame of the view, which has the photo's size.
            size: (h, w) of the photo.
        """
        if not self.mirrored:
            return proposal
        width = size[1]
        # Crops end behind their last pixel, boxes on it.
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
    """A predictor that embeds images at a fraction of the model's frame."""

    view_scale: float

    def embed(self, image: ImageSource) -> ImageEmbedding:
        pixels = read_image(image)
        side = self.model.config.image_size
        longest = max(1, round(self.view_scale * side))
        frame = Frame.fit((pixels.shape[0], pixels.shape[1]), longest)
        frame = dataclasses.replace(frame, model_size=side)
        return self.embed_resized([(frame.resize_image(pixels), frame)])[0]
