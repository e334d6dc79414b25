"""Maps between the pixels of an image and those of a model's input.

SAM scales an image so that its longest side is the model's input size, keeps the aspect
ratio, and pads with zeros to a square on the right and below (SAM, section B.1 of the
released code's `ResizeLongestSide` and `Sam.preprocess`). A `Frame` has the sizes of one
image and maps pixels, points and boxes both ways.

Host arithmetic is float64, cast once to float32 for the model: scaling in float32 moves
a point by up to 1e-4 pixel, which shows in parity tests.
"""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Real, Shaped, UInt8
from PIL import Image

PIXEL_MEAN = (123.675, 116.28, 103.53)
"""Mean of each of R, G, B on the 0..255 scale."""

PIXEL_STD = (58.395, 57.12, 57.375)
"""Standard deviation of each of R, G, B on the 0..255 scale."""


@dataclasses.dataclass(frozen=True)
class Frame:
    """The sizes of one image, and the maps between its frames.

    `Frame.fit` makes one. Frames are hashable and compare by value.

    Attributes:
        original_size: (h, w) of the user's image.
        resized_size: (h, w) after scaling the longest side to `model_size`.
        model_size: side of the model's input, in pixels.
    """

    original_size: tuple[int, int]
    resized_size: tuple[int, int]
    model_size: int

    @classmethod
    def fit(cls, original_size: tuple[int, int], model_size: int) -> Frame:
        """Returns the frame of an image of `original_size` for a model's input size.

        Each side becomes `floor(side * scale + 0.5)` with `scale = model_size / longest
        side` in float64. Python's `round` would differ (it rounds halves to even), and
        so would float32, by a pixel for some sizes. A side never becomes 0: an image of
        1 x 5000 is given one row, where the reference fails.

        Raises:
            ValueError: a size is not positive.
        """
        height, width = (int(side) for side in original_size)
        if min(height, width, model_size) < 1:
            raise ValueError(
                f"got {original_size=} and {model_size=}, expected sides of at least 1 "
                "pixel: pass (height, width) of a non-empty image"
            )
        scale = model_size / max(height, width)
        resized = tuple(max(1, int(side * scale + 0.5)) for side in (height, width))
        return cls((height, width), (resized[0], resized[1]), int(model_size))

    @property
    def scale(self) -> tuple[float, float]:
        """Model pixels per original pixel along (x, y).

        The two differ a little because each resized side is rounded on its own; one
        factor for both would let prompts drift by part of a pixel.
        """
        (height, width), (resized_height, resized_width) = (
            self.original_size,
            self.resized_size,
        )
        return resized_width / width, resized_height / height

    def resize_image(
        self, image: UInt8[np.ndarray, "h w 3"]
    ) -> UInt8[np.ndarray, "rh rw 3"]:
        """Scales an image to `resized_size`, as the reference predictor does.

        Pillow's bilinear filter on 8 bits: antialiased when it shrinks, and rounded to
        8 bits again. No resize on a device gives these bits, so it runs on the host.

        Raises:
            ValueError: the image is not of `original_size`.
        """
        if image.shape[:2] != self.original_size:
            raise ValueError(
                f"got an image of {image.shape[:2]} for a frame of "
                f"{self.original_size}: make it with Frame.fit(image.shape[:2], ...)"
            )
        height, width = self.resized_size
        resized = Image.fromarray(np.ascontiguousarray(image)).resize(
            (width, height), Image.Resampling.BILINEAR
        )
        return np.array(resized)

    def pad(
        self, resized: Shaped[np.ndarray, "rh rw c"]
    ) -> Shaped[np.ndarray, "s s c"]:
        """Pads a resized image to the model's square, on the right and below.

        The zeros are placeholders: `normalize` sets the padding to 0 *after*
        normalizing, as the reference pads, so that it is of the mean colour and not
        black.

        Raises:
            ValueError: The image has another size than `resized_size`.
        """
        height, width, channels = resized.shape
        if (height, width) != self.resized_size:
            raise ValueError(
                f"got an image of {(height, width)}, expected the resized size "
                f"{self.resized_size}: call resize_image first"
            )
        side = self.model_size
        padded = np.zeros((side, side, channels), resized.dtype)
        padded[:height, :width] = resized
        return padded

    def points_to_model(
        self, points: Real[np.ndarray, "*batch 2"]
    ) -> Float[np.ndarray, "*batch 2"]:
        """Maps (x, y) from original to model pixels; float32, without the half pixel.

        Points outside the image are mapped by the same scale.
        """
        return (points.astype(np.float64) * np.array(self.scale)).astype(np.float32)

    def points_to_original(
        self, points: Real[np.ndarray, "*batch 2"]
    ) -> Float[np.ndarray, "*batch 2"]:
        """Maps (x, y) from model to original pixels; float64."""
        return points.astype(np.float64) / np.array(self.scale)

    def boxes_to_model(
        self, boxes: Real[np.ndarray, "*batch 4"]
    ) -> Float[np.ndarray, "*batch 4"]:
        """Maps XYXY boxes from original to model pixels, as `points_to_model`."""
        corners = boxes.reshape(*boxes.shape[:-1], 2, 2)
        return self.points_to_model(corners).reshape(boxes.shape)

    def boxes_to_original(
        self, boxes: Real[np.ndarray, "*batch 4"]
    ) -> Float[np.ndarray, "*batch 4"]:
        """Maps XYXY boxes from model to original pixels; float64."""
        corners = boxes.reshape(*boxes.shape[:-1], 2, 2)
        return self.points_to_original(corners).reshape(boxes.shape)


def normalize(
    images: Real[Array | np.ndarray, "b h w 3"],
    valid_sizes: Int[Array | np.ndarray, "b 2"],
) -> Float[Array, "b h w 3"]:
    """Normalizes images to zero mean and unit deviation, then zeroes their padding.

    The order matters: padding before normalizing would make it black, not
    mean-coloured.

    Args:
        images: RGB on the 0..255 scale in the model frame.
        valid_sizes: (h, w) of the part of each image that is not padding.

    Returns:
        float32 pixels, ready for the image encoder.
    """
    mean = jnp.asarray(PIXEL_MEAN, jnp.float32).reshape(1, 1, 1, 3)
    std = jnp.asarray(PIXEL_STD, jnp.float32).reshape(1, 1, 1, 3)
    pixels = (jnp.asarray(images).astype(jnp.float32) - mean) / std
    _, height, width, _ = pixels.shape
    valid_height = jnp.asarray(valid_sizes)[:, 0].reshape(-1, 1, 1, 1)
    valid_width = jnp.asarray(valid_sizes)[:, 1].reshape(-1, 1, 1, 1)
    inside = (jnp.arange(height).reshape(1, -1, 1, 1) < valid_height) & (
        jnp.arange(width).reshape(1, 1, -1, 1) < valid_width
    )
    return jnp.where(inside, pixels, 0.0)
