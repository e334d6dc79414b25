"""Crops of images around masks, for CLIP (SAM, appendix D.5).

The box of a mask is grown by a factor of 1 to 2 and made a square, so that the aspect
stays; the crop is resized to CLIP's input; for half of the crops the background is zeroed;
and the output token attends to the patches inside of the mask only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image


@dataclass(frozen=True, kw_only=True)
class CropConfig:
    """How masks are cropped; the defaults are the paper's, or nearest to its words.

    Attributes:
        side: Side of a crop in pixels, CLIP's input.
        patch: Side of a patch in pixels. Pixels at the right and bottom beyond the last
            whole patch are in none.
        growth: Least and largest factor of the mask's box; one factor for both axes.
            The paper does not say whether each axis has its own.
        zeroed: Share of the crops whose pixels outside of the mask are replaced.
        background: Their replacement: black, or the mean that CLIP subtracts,
            which is zero after it. The paper does not say which.
        mean: That mean, on the scale 0..255.
    """

    side: int = 336
    patch: int = 14
    growth: tuple[float, float] = (1.0, 2.0)
    zeroed: float = 0.5
    background: Literal["black", "mean"] = "black"
    mean: tuple[int, int, int] = (123, 117, 104)

    def __post_init__(self):
        problems = []
        if not 1 <= self.patch <= self.side:
            problems.append(f"side={self.side} is less than patch={self.patch}")
        if not 1 <= self.growth[0] <= self.growth[1]:
            problems.append(f"growth={self.growth}: use two factors from 1 on")
        if not 0 <= self.zeroed <= 1:
            problems.append(f"zeroed={self.zeroed}: use a share, 0 to 1")
        if problems:
            raise ValueError("CropConfig: " + "; ".join(problems))

    @property
    def grid(self) -> int:
        """Patches on a side of a crop."""
        return self.side // self.patch


class MaskCrop(NamedTuple):
    """A crop of an image around a mask.

    Attributes:
        pixels: RGB, black beyond the image.
        inside: Patches that are in the mask by half at least, or the one that is most.
        box: XYXY of the crop in pixels of the image; it may leave the image.
    """

    pixels: UInt8[np.ndarray, "s s 3"]
    inside: Bool[np.ndarray, "g g"]
    box: Float[np.ndarray, " 4"]


def crop_mask(
    image: UInt8[np.ndarray, "h w 3"],
    mask: Bool[np.ndarray, "mask_h mask_w"],
    growth: float,
    is_zeroed: bool,
    config: CropConfig,
) -> MaskCrop:
    """Crops an image around a mask.

    Args:
        image: RGB.
        mask: The mask, not empty.
        growth: Factor of its box's longer side.
        is_zeroed: Whether pixels outside of the mask are replaced.
        config: The rest.

    Raises:
        ValueError: The mask is empty, or of another size than the image.
    """
    if mask.shape != image.shape[:2] or not mask.any():
        raise ValueError(
            f"got a mask of shape {mask.shape} with {int(mask.sum())} pixels, expected "
            f"some of {image.shape[:2]}"
        )
    if is_zeroed:
        fill = config.mean if config.background == "mean" else (0, 0, 0)
        image = np.where(mask[..., None], image, np.array(fill, np.uint8))
    box = square_around(mask, growth)
    padded, shares, inner = _padded(image, mask, box)
    side = (config.side, config.side)
    pixels = padded.resize(side, Image.Resampling.BICUBIC, box=inner)
    seen = config.grid * config.patch / config.side
    left, top, right, bottom = inner
    patches = (left, top, left + seen * (right - left), top + seen * (bottom - top))
    cells = shares.resize((config.grid, config.grid), Image.Resampling.BOX, box=patches)
    covered = np.asarray(cells)
    inside = covered >= 0.5
    if not inside.any():
        inside = covered == covered.max()
    return MaskCrop(np.asarray(pixels), inside, box)


def draw_crop(
    generator: np.random.Generator,
    image: UInt8[np.ndarray, "h w 3"],
    mask: Bool[np.ndarray, "h w"],
    config: CropConfig,
) -> MaskCrop:
    """Crops an image around a mask, with growth and background drawn at random.

    Args:
        generator: Source of the random numbers.
        image: RGB.
        mask: The mask, not empty.
        config: Their distributions.

    Raises:
        ValueError: As for `crop_mask`.
    """
    growth = generator.uniform(*config.growth)
    is_zeroed = bool(generator.uniform() < config.zeroed)
    return crop_mask(image, mask, growth, is_zeroed, config)


def square_around(
    mask: Bool[np.ndarray, "h w"], growth: float
) -> Float[np.ndarray, " 4"]:
    """Returns the square, XYXY in pixels, around the grown box of a mask.

    Args:
        mask: The mask, not empty.
        growth: Factor of its box's longer side.
    """
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    low = np.array([columns[0], rows[0]], np.float64)
    high = np.array([columns[-1] + 1, rows[-1] + 1], np.float64)
    half = growth * (high - low).max() / 2
    centre = (low + high) / 2
    return np.concatenate([centre - half, centre + half])


def _padded(
    image: np.ndarray, mask: np.ndarray, box: np.ndarray
) -> tuple[Image.Image, Image.Image, tuple[float, float, float, float]]:
    """Cuts out what the box needs, black beyond the image; and the box in that cut.

    Pillow resizes from fractional boxes, but only inside of an image.
    """
    height, width = mask.shape
    left, top = np.floor(box[:2]).astype(int)
    right, bottom = np.ceil(box[2:]).astype(int)
    rows, columns = (
        slice(max(top, 0), min(bottom, height)),
        slice(max(left, 0), min(right, width)),
    )
    before = (rows.start - top, columns.start - left)
    cut = np.zeros((bottom - top, right - left, 3), np.uint8)
    shares = np.zeros(cut.shape[:2], np.float32)
    part = image[rows, columns]
    place = tuple(slice(b, b + n) for b, n in zip(before, part.shape[:2], strict=True))
    cut[place], shares[place] = part, mask[rows, columns]
    inner = tuple(float(side) for side in box - [left, top, left, top])
    return Image.fromarray(cut), Image.fromarray(shares), inner  # type: ignore[return-value]
