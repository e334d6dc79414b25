"""A box around an object (SAM, section 2)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from samjax.prompts.kind import Option, PromptKind, checked_numbers, read_numbers


def check_box(
    problems: list[str], box: ArrayLike | None
) -> tuple[Float[np.ndarray, " 4"] | None]:
    """Checks a box in pixels of the original image; see `samjax.Prompt`."""
    if box is None:
        return (None,)
    array = checked_numbers("box", box, problems)
    if array is None:
        return (None,)
    if array.shape != (4,):
        problems.append(
            f"got a box of shape {array.shape}, expected (4,), that is left, top, "
            "right, bottom: several boxes are several prompts"
        )
        return (None,)
    left, top, right, bottom = array
    if right < left or bottom < top:
        problems.append(
            f"got the box {array.tolist()}, whose right or bottom is smaller than its "
            "left or top, expected left, top, right, bottom: from x, y, width, height "
            "make [x, y, x + width, y + height]"
        )
    return (array,)


def _read_box(text: str) -> list[float]:
    numbers = read_numbers(text)
    if numbers is None or len(numbers) != 4:
        raise ValueError("expected X0,Y0,X1,Y1, such as 40,30,200,180")
    left, top, right, bottom = numbers
    if left >= right or top >= bottom:
        raise ValueError("the first corner is left of and above the second one")
    return numbers


BOX = PromptKind(
    fields={"box": tuple[float, float, float, float]},
    check=check_box,
    count=lambda box: int(box is not None),
    option=Option(
        name="box",
        metavar="X0,Y0,X1,Y1",
        help="A box around an object: its left, top, right and bottom.",
        read=_read_box,
        fields=lambda boxes: {"box": boxes[0]},
        record=lambda boxes: {"box": boxes[0] if boxes else None},
        words=lambda box: "box " + ",".join(f"{side:g}" for side in box),
    ),
)
