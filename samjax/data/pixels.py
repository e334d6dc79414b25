"""Conversion of pixels of any dtype to 8 bits."""

from __future__ import annotations

import numpy as np
from jaxtyping import Shaped, UInt8


def to_eight_bits(
    image: Shaped[np.ndarray, "*shape"],
) -> UInt8[np.ndarray, "*shape"]:
    """Converts pixels to 8 bits by fixed rules, whatever the range of their values.

    Bool becomes 0 and 255, 16 bits are divided by 257, other integers keep their
    values.

    Raises:
        ValueError: Integers beyond 0..255, floats, or a dtype that is not numeric.
    """
    if image.dtype == np.uint8:
        return image
    if image.dtype == np.bool_:
        return image.astype(np.uint8) * np.uint8(255)
    if image.dtype.kind == "u" and image.dtype.itemsize == 2:
        # 65535 / 257 is 255 exactly; adding half of 257 rounds to nearest.
        return ((image.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if not np.issubdtype(image.dtype, np.number) or np.iscomplexobj(image):
        raise ValueError(f"got an image of {image.dtype}, expected uint8 in 0..255")
    low, high = image.min(), image.max()
    if np.issubdtype(image.dtype, np.integer):
        if low < 0 or high > 255:
            raise ValueError(
                f"got an image of {image.dtype} with values in {low}..{high}, expected "
                "0..255: scale it, and pass image.astype(np.uint8)"
            )
        return image.astype(np.uint8)
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ValueError(
            f"got an image of {image.dtype} with NaN or infinite values, expected "
            "uint8 in 0..255: replace them first, for example with np.nan_to_num"
        )
    remedy = "(image * 255)" if high <= 1 else "image"
    raise ValueError(
        f"got an image of {image.dtype} with values in {low:g}..{high:g}, expected "
        f"uint8 in 0..255: pass {remedy}.round().clip(0, 255).astype(np.uint8)"
    )
