"""Prompts of the command line, before a photo is read."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from samjax.cli import UsageError

Grouping = Literal["kind", "each", "one"]


@dataclass(frozen=True, kw_only=True)
class Request:
    """One prompt, in pixels of each photo that it is applied to.

    Attributes:
        points: (x, y) of points.
        labels: 1 for each point on the object (foreground), 0 beside it (background).
        box: (left, top, right, bottom) around the object.
        mask: A file with a rough mask of the object.
    """

    points: tuple[tuple[float, float], ...] = ()
    labels: tuple[int, ...] = ()
    box: tuple[float, float, float, float] | None = None
    mask: Path | None = None


def read_requests(
    points: Sequence[str], boxes: Sequence[str], masks: Sequence[Path], group: Grouping
) -> list[Request]:
    """Makes prompts from the values of `--point`, `--box` and `--mask`.

    Args:
        points: `X,Y` or `X,Y,1` on an object, `X,Y,0` beside it.
        boxes: `X0,Y0,X1,Y1`.
        masks: Files.
        group: `kind` makes one prompt of all points, and one of each box and each mask;
            `each` makes one of each point, too; `one` makes one of everything.

    Raises:
        UsageError: A value is malformed, there is no prompt, or the prompts cannot be
            grouped so.
    """
    clicks = [_read_point(text) for text in points]
    corners = [_read_box(text) for text in boxes]
    if not (clicks or corners or masks):
        raise UsageError("there is no prompt: give --point, --box or --mask")
    if group == "one":
        if len(corners) > 1 or len(masks) > 1:
            raise UsageError(
                f"--group one takes one box and one mask, got {len(corners)} and "
                f"{len(masks)}: leave it out to make a prompt of each"
            )
        box = corners[0] if corners else None
        return [_request(clicks, box=box, mask=masks[0] if masks else None)]
    if group == "each":
        beside = [text for text, (_, label) in zip(points, clicks) if label == 0]
        if beside:
            raise UsageError(
                f"--point {beside[0]} is a background point, which is no prompt alone: "
                "leave out --group each"
            )
        groups = [[click] for click in clicks]
    else:
        groups = [clicks] if clicks else []
    return [
        *(_request(group) for group in groups),
        *(Request(box=box) for box in corners),
        *(Request(mask=mask) for mask in masks),
    ]


Click = tuple[tuple[float, float], int]


def _request(clicks: Sequence[Click], *, box=None, mask: Path | None = None) -> Request:
    return Request(
        points=tuple(point for point, _ in clicks),
        labels=tuple(label for _, label in clicks),
        box=box,
        mask=mask,
    )


def _read_point(text: str) -> Click:
    numbers = _read_numbers(text)
    if numbers is None or len(numbers) not in (2, 3):
        raise UsageError(f"--point {text}: expected X,Y or X,Y,0, such as 120,80")
    label = numbers[2] if len(numbers) == 3 else 1
    if label not in (0, 1):
        raise UsageError(
            f"--point {text}: the third number is 1 on the object, 0 beside it"
        )
    return (numbers[0], numbers[1]), int(label)


def _read_box(text: str) -> tuple[float, float, float, float]:
    numbers = _read_numbers(text)
    if numbers is None or len(numbers) != 4:
        raise UsageError(f"--box {text}: expected X0,Y0,X1,Y1, such as 40,30,200,180")
    left, top, right, bottom = numbers
    if left >= right or top >= bottom:
        raise UsageError(
            f"--box {text}: the first corner is left of and above the second one"
        )
    return left, top, right, bottom


def _read_numbers(text: str) -> list[float] | None:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        return None
    return numbers if all(map(math.isfinite, numbers)) else None
