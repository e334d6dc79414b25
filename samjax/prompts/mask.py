"""A rough mask of an object, or the logits of an earlier prediction (SAM, section 2)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike

from samjax.prompts.kind import MaskImage, Option, PromptKind


def check_mask(
    problems: list[str], mask: ArrayLike | None
) -> tuple[Float[np.ndarray, "l l"] | Bool[np.ndarray, "h w"] | None]:
    """Checks a mask; see `samjax.Prompt`."""
    return (_checked(mask, problems),)


def _checked(mask: ArrayLike | None, problems: list[str]) -> np.ndarray | None:
    if mask is None:
        return None
    array = np.array(mask)
    if array.dtype.name == "bfloat16":
        array = array.astype(np.float32)
    if array.ndim == 3 and len(array) == 1:
        array = array[0]
    is_square = array.ndim == 2 and array.shape[0] == array.shape[1]
    if array.dtype == np.bool_:
        if array.ndim == 2:
            return array
        problems.append(
            f"got a boolean mask of shape {array.shape}, expected the (h, w) of the "
            "original image: several masks are several prompts"
        )
    elif not np.issubdtype(array.dtype, np.floating):
        problems.append(
            f"got a mask of {array.dtype}, expected bool of the original image's size: "
            "pass mask > 0"
        )
    elif not is_square:
        problems.append(
            f"got mask logits of shape {array.shape}, expected the square low-res "
            "logits of an earlier prediction, (256, 256) for released models: pass a mask "
            "of the original image's size as bool, mask > 0"
        )
    elif not np.isfinite(array).all():
        problems.append("got mask logits with NaN or infinite values, expected numbers")
    elif _is_image(array):
        problems.append(
            f"got a float mask of values from 0 to {array.max():g}, which are those of an "
            "image and no logits (logits of the background are negative, and 0 is "
            "undecided): pass a mask of the original image's size as bool, "
            f"mask > {array.max() / 2:g}"
        )
    else:
        return array.astype(np.float32)
    return None


def _is_image(mask: Float[np.ndarray, "h w"]) -> bool:
    """Whether a mask of floats is a black and white or grey image, and no logits.

    Black is exactly 0 and the lowest value, which is never true of logits; white is the
    largest number of 1, 8 or 16 bits, or all levels are whole numbers.
    """
    lowest, highest = float(mask.min()), float(mask.max())
    if lowest != 0 or highest <= 0:
        return False
    is_two_valued = bool(np.isin(mask, (lowest, highest)).all())
    is_whole = highest >= 1 and bool((mask == np.round(mask)).all())
    return highest in (1, 255, 65535) or is_whole or (is_two_valued and highest >= 0.5)


MASK = PromptKind(
    fields={"mask": MaskImage},
    check=check_mask,
    count=lambda mask: int(mask is not None),
    option=Option(
        name="mask",
        metavar="FILE",
        help="A rough mask: an image of the photo's size, black where the object is not.",
        is_file=True,
        fields=lambda files: {"mask": files[0].pixels},
        record=lambda files: {"mask": files[0].path.name if files else None},
        words=lambda file: f"mask {file.path}",
    ),
)
