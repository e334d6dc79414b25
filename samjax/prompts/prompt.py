"""Prompts: points, a box, a mask, in the frame of the original image."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike

from samjax.prompts.box import BOX
from samjax.prompts.mask import MASK
from samjax.prompts.points import POINTS
from samjax.prompts.text import TEXT

KINDS = (POINTS, BOX, MASK, TEXT)
"""All kinds of prompts, in the order of the fields of `Prompt`."""


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
        values: dict[str, Any] = {
            "points": points,
            "labels": labels,
            "box": box,
            "mask": mask,
            "text": text,
        }
        problems: list[str] = []
        for kind in KINDS:
            checked = kind.check(problems, *(values[name] for name in kind.fields))
            values.update(zip(kind.fields, checked, strict=True))
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
        counts = (
            kind.count(*(getattr(self, name) for name in kind.fields)) for kind in KINDS
        )
        return sum(counts) <= 1
