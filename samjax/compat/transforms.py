"""`segment_anything.utils.transforms` in numpy: maps to the frame of a model's input."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8
from numpy.typing import ArrayLike

from samjax.compat.errors import WrongArgument
from samjax.geometry.frame import Frame


def _points(coords: ArrayLike) -> np.ndarray:
    points = np.asarray(coords)
    if points.ndim < 1 or points.shape[-1] != 2:
        raise WrongArgument(f"got points {points.shape}, expected (..., 2): x and y")
    return points


def _corners(boxes: ArrayLike) -> np.ndarray:
    corners = np.asarray(boxes)
    if corners.ndim < 1 or corners.shape[-1] not in (2, 4) or corners.size % 4:
        raise WrongArgument(f"got boxes {corners.shape}, expected (B, 4), XYXY")
    return corners.reshape(-1, 2, 2)


class ResizeLongestSide:
    """Resizes images, points and boxes so that the longest side is `target_length`.

    The reference's `apply_image_torch` is absent: its resampling differs from that of
    the predictor, as its own documentation warns.
    """

    def __init__(self, target_length: int):
        self.target_length = target_length

    def apply_image(self, image: UInt8[np.ndarray, "h w 3"]) -> np.ndarray:
        """Resizes an RGB or BGR image; uint8 (H, W, 3), the longer side as the target."""
        return self._frame(image.shape[:2]).resize_image(image)

    def apply_coords(
        self, coords: ArrayLike, original_size: tuple[int, ...]
    ) -> np.ndarray:
        """Maps (..., 2) points of an image of `original_size` (h, w); float64."""
        scale = np.array(self._frame(original_size).scale)
        return _points(coords).astype(np.float64) * scale

    def apply_boxes(
        self, boxes: ArrayLike, original_size: tuple[int, ...]
    ) -> np.ndarray:
        """Maps XYXY boxes from the pixels of an image to those of the model's input.

        Args:
            boxes: (B, 4), or any shape of B * 4 numbers.
            original_size: (h, w) of the image.

        Returns:
            float64 (B, 4).
        """
        corners = _corners(boxes)
        return self.apply_coords(corners, original_size).reshape(-1, 4)

    def apply_coords_torch(
        self, coords: ArrayLike, original_size: tuple[int, ...]
    ) -> np.ndarray:
        """As `apply_coords`, shapes too, in float32 as the reference's tensors are."""
        scale = np.array(self._frame(original_size).scale, np.float32)
        return _points(coords).astype(np.float32) * scale

    def apply_boxes_torch(
        self, boxes: ArrayLike, original_size: tuple[int, ...]
    ) -> np.ndarray:
        """As `apply_boxes`, pixels and shapes too, in float32 as the reference's tensors."""
        corners = _corners(boxes)
        return self.apply_coords_torch(corners, original_size).reshape(-1, 4)

    @staticmethod
    def get_preprocess_shape(
        oldh: int, oldw: int, long_side_length: int
    ) -> tuple[int, int]:
        """Returns the (h, w) that an image of (oldh, oldw) is resized to."""
        return Frame.fit((oldh, oldw), long_side_length).resized_size

    def _frame(self, original_size: tuple[int, ...]) -> Frame:
        height, width = original_size[:2]
        return Frame.fit((height, width), self.target_length)
