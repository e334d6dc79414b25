"""Points on an object (foreground) and beside it (background) (SAM, section 2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from samjax.prompts.kind import Option, PromptKind, checked_numbers, read_numbers

Click = tuple[tuple[float, float], int]
"""A point, (x, y), and its label."""


def check_points(
    problems: list[str], points: ArrayLike | None, labels: ArrayLike | int | None
) -> tuple[Float[np.ndarray, "n 2"], Int[np.ndarray, " n"]]:
    """Checks points in pixels of the original image, and labels; see `samjax.Prompt`."""
    checked = _check_coordinates(points, problems)
    return checked, _check_labels(labels, len(checked), problems)


def _check_coordinates(points: ArrayLike | None, problems: list[str]) -> np.ndarray:
    array = checked_numbers("points", [] if points is None else points, problems)
    if array is None or array.size == 0:
        return np.zeros((0, 2))
    if array.ndim != 2 or array.shape[1] != 2:
        problems.append(
            f"got points of shape {array.shape}, expected (n, 2), (x, y) of every "
            "point: a single point is [[x, y]]"
        )
        return np.zeros((0, 2))
    return array


def _check_labels(
    labels: ArrayLike | int | None, num_points: int, problems: list[str]
) -> np.ndarray:
    if labels is None:
        return np.ones(num_points, np.int32)
    array = checked_numbers("labels", labels, problems)
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


def _read_click(text: str) -> Click:
    numbers = read_numbers(text)
    if numbers is None or len(numbers) not in (2, 3):
        raise ValueError("expected X,Y or X,Y,0, such as 120,80")
    label = numbers[2] if len(numbers) == 3 else 1
    if label not in (0, 1):
        raise ValueError("the third number is 1 on the object, 0 beside it")
    return (numbers[0], numbers[1]), int(label)


def _fields(clicks: Sequence[Click]) -> dict[str, Any]:
    return {
        "points": [point for point, _ in clicks],
        "labels": [label for _, label in clicks],
    }


def _record(clicks: Sequence[Click]) -> dict[str, Any]:
    return {
        "point_coords": [list(point) for point, _ in clicks],
        "point_labels": [label for _, label in clicks],
    }


def _words(click: Click) -> str:
    (x, y), label = click
    return f"point {x:g},{y:g}" + ("" if label else " (beside)")


POINTS = PromptKind(
    fields={"points": list[tuple[float, float]], "labels": list[Literal[0, 1]]},
    check=check_points,
    count=lambda points, _: len(points),
    option=Option(
        name="point",
        metavar="X,Y[,0|1]",
        help="A point on the object; beside it with a third number of 0.",
        is_joined=True,
        read=_read_click,
        fields=_fields,
        record=_record,
        words=_words,
    ),
)
