"""Prompts: points, a box, a mask, in the frame of the original image."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike


@dataclasses.dataclass(frozen=True, eq=False, init=False)
class Prompt:
    """One prompt set: all prompts of one object in one image.

    It is checked when it is made, and immutable: the arrays are read-only copies. An
    empty prompt is allowed, as in the reference; the model then predicts the masks that
    are most salient to it.

    Attributes:
        points: (x, y) in pixels of the original image, a pixel's centre at +0.5. Points
            outside the image are allowed, as in the reference: they are encoded like
            all others, though the model was not trained on them.
        labels: 1 for a point on the object (foreground), 0 for a point off it
            (background).
        box: (left, top, right, bottom) in the same pixels, or None. Sides may have
            length 0, and may lie outside the image.
        mask: bool (h, w), an external mask of the original image's size; or float
            (l, l), the low-res `logits` of an earlier prediction (256 x 256 for all
            released models); or None.
        text: a description, for models with a text tower; or None.
    """

    points: Float[np.ndarray, "n 2"]
    labels: Int[np.ndarray, " n"]
    box: Float[np.ndarray, " 4"] | None
    mask: Float[np.ndarray, "l l"] | Bool[np.ndarray, "h w"] | None
    text: str | None

    def __init__(
        self,
        points: ArrayLike | None = None,
        labels: ArrayLike | int | None = None,
        box: ArrayLike | None = None,
        mask: ArrayLike | None = None,
        text: str | None = None,
    ):
        """Checks a prompt.

        Args:
            points: n pairs of (x, y), or None or an empty list.
            labels: n labels of 1 or 0, or a number for a single point; None makes every
                point a foreground point.
            box: four numbers.
            mask: bool (h, w), or float (l, l) or (1, l, l).
            text: a description.

        Raises:
            ValueError: the prompt cannot be used; the message lists all problems.
        """
        problems: list[str] = []
        points = _checked_points(points, problems)
        values = {
            "points": points,
            "labels": _checked_labels(labels, len(points), problems),
            "box": _checked_box(box, problems),
            "mask": _checked_mask(mask, problems),
            "text": _checked_text(text, problems),
        }
        if problems:
            raise ValueError("a prompt cannot be used: " + "; and ".join(problems))
        for name, value in values.items():
            if isinstance(value, np.ndarray):
                value.flags.writeable = False
            object.__setattr__(self, name, value)

    @property
    def is_ambiguous(self) -> bool:
        """Whether the paper's rule is three masks (SAM, section 3).

        A single point, box or mask may be of a whole, a part or a subpart, and so may
        an empty prompt. Several prompts together are of one object.
        """
        given = (self.box, self.mask, self.text)
        return len(self.points) + sum(value is not None for value in given) <= 1


def _checked_points(points: ArrayLike | None, problems: list[str]) -> np.ndarray:
    array = _numbers("points", [] if points is None else points, problems)
    if array is None or array.size == 0:
        return np.zeros((0, 2))
    if array.ndim != 2 or array.shape[1] != 2:
        problems.append(
            f"got points of shape {array.shape}, expected (n, 2), (x, y) of every "
            "point: a single point is [[x, y]]"
        )
        return np.zeros((0, 2))
    return array


def _checked_labels(
    labels: ArrayLike | int | None, num_points: int, problems: list[str]
) -> np.ndarray:
    if labels is None:
        return np.ones(num_points, np.int32)
    array = _numbers("labels", labels, problems)
    if array is None:
        return np.ones(num_points, np.int32)
    if array.ndim == 0:
        # The label of a single point, as a plain number.
        array = array[None]
    if array.size != num_points or array.ndim > 1:
        problems.append(
            f"got labels of shape {array.shape} for {num_points} points, expected "
            f"({num_points},): give one label, 1 or 0, for every point"
        )
        return np.ones(num_points, np.int32)
    if not np.isin(array, (0, 1)).all():
        problems.append(
            f"got labels {array.tolist()}, expected 1 (on the object) or 0 (not on it)"
        )
        return np.ones(num_points, np.int32)
    return array.astype(np.int32)


def _checked_box(box: ArrayLike | None, problems: list[str]) -> np.ndarray | None:
    if box is None:
        return None
    array = _numbers("box", box, problems)
    if array is None:
        return None
    if array.shape != (4,):
        problems.append(
            f"got a box of shape {array.shape}, expected (4,), that is left, top, "
            "right, bottom: several boxes are several prompts"
        )
        return None
    left, top, right, bottom = array
    if right < left or bottom < top:
        problems.append(
            f"got the box {array.tolist()}, whose right or bottom is smaller than its "
            "left or top, expected left, top, right, bottom: from x, y, width, height "
            "make [x, y, x + width, y + height]"
        )
    return array


def _checked_mask(mask: ArrayLike | None, problems: list[str]) -> np.ndarray | None:
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


def _checked_text(text: str | None, problems: list[str]) -> str | None:
    if text is not None and (not isinstance(text, str) or not text.strip()):
        problems.append(f"got {text=}, expected some words, or None")
    return text


def _numbers(name: str, value: Any, problems: list[str]) -> np.ndarray | None:
    """Returns a float64 copy, or None with a problem noted."""
    try:
        array = np.array(value, np.float64)
    except (TypeError, ValueError):
        problems.append(f"got {name} that are not a regular list of numbers: {value!r}")
        return None
    if not np.isfinite(array).all():
        problems.append(f"got {name} with NaN or infinite values: {array.tolist()}")
        return None
    return array
