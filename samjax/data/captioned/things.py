"""Outlines of the things in captioned scenes: the body, and parts that have names.

Every thing is drawn in its own frame, x to the right and y down, from about -1 to 1.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

Number = float | int

BODY = ""
"""Name of a piece that is no part of its own."""


class Piece(NamedTuple):
    """A filled polygon.

    Attributes:
        part: Name of the part that it belongs to, or `BODY`.
        outline: Its corners, (x, y).
        is_coloured: Whether it has the colour of the thing, and not one of its own.
    """

    part: str
    outline: Float[np.ndarray, "n 2"]
    is_coloured: bool = True


def _ellipse(x: Number, y: Number, width: Number, height: Number) -> np.ndarray:
    turn = np.linspace(0, 2 * math.pi, 48, endpoint=False)
    return np.stack([x + width * np.cos(turn), y + height * np.sin(turn)], 1)


def _box(left: Number, top: Number, right: Number, bottom: Number) -> np.ndarray:
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]])


def _arc(
    x: Number, y: Number, outer: Number, inner: Number, start: Number, stop: Number
):
    """Returns a band around a centre, between two angles in turns."""
    turn = np.linspace(start, stop, 48) * 2 * math.pi
    ring = np.stack([np.cos(turn), np.sin(turn)], 1)
    return np.concatenate([ring * outer, ring[::-1] * inner]) + np.array([x, y])


def _star() -> np.ndarray:
    turn = (np.arange(10) / 10 - 0.25) * 2 * math.pi
    radius = np.where(np.arange(10) % 2, 0.42, 1.0)
    return np.stack([radius * np.cos(turn), radius * np.sin(turn)], 1)


def _heart() -> np.ndarray:
    turn = np.linspace(0, 2 * math.pi, 60, endpoint=False)
    x = np.sin(turn) ** 3
    y = 13 * np.cos(turn) - 5 * np.cos(2 * turn) - 2 * np.cos(3 * turn)
    return np.stack([x, -(y - np.cos(4 * turn)) / 16], 1)


def _moon() -> np.ndarray:
    turn = np.linspace(0.2, 0.8, 40) * 2 * math.pi
    outer = np.stack([np.cos(turn), np.sin(turn)], 1)
    inner = np.stack([0.45 * (1 + np.cos(turn)) - 0.14, np.sin(turn)], 1)
    return np.concatenate([outer, inner[::-1]])


def _cross() -> np.ndarray:
    a, b = 0.32, 0.95
    corners = [(-a, -b), (a, -b), (a, -a), (b, -a), (b, a), (a, a)]
    corners += [(a, b), (-a, b), (-a, a), (-b, a), (-b, -a), (-a, -a)]
    return np.array(corners)


def _flower() -> list[Piece]:
    turns = np.arange(6) / 6 * 2 * math.pi
    petals = [
        _ellipse(0.58 * math.cos(t), 0.58 * math.sin(t), 0.38, 0.38) for t in turns
    ]
    pieces = [Piece("petals", petal) for petal in petals]
    return [*pieces, Piece("centre", _ellipse(0, 0, 0.32, 0.32), False)]


def _fork() -> list[Piece]:
    tines = [_box(x, -1, x + 0.1, -0.35) for x in (-0.25, -0.05, 0.15)]
    neck = np.array([[-0.25, -0.4], [0.25, -0.4], [0.08, -0.1], [-0.08, -0.1]])
    pieces = [Piece(BODY, tine) for tine in (*tines, neck)]
    return [*pieces, Piece("handle", _box(-0.08, -0.1, 0.08, 1))]


def _cup() -> list[Piece]:
    body = np.array([[-0.7, -0.75], [0.5, -0.75], [0.42, 0.75], [-0.62, 0.75]])
    return [
        Piece("handle", _arc(0.45, -0.05, 0.5, 0.32, -0.27, 0.27)),
        Piece(BODY, body),
        Piece("rim", _ellipse(-0.1, -0.75, 0.6, 0.14), False),
    ]


def _tree() -> list[Piece]:
    crown = np.array([[0, -1], [0.75, 0.35], [-0.75, 0.35]])
    return [Piece("trunk", _box(-0.13, 0.3, 0.13, 1), False), Piece(BODY, crown)]


def _house() -> list[Piece]:
    roof = np.array([[0, -1], [0.95, -0.2], [-0.95, -0.2]])
    return [
        Piece(BODY, _box(-0.72, -0.25, 0.72, 0.9)),
        Piece("roof", roof, False),
        Piece("door", _box(-0.18, 0.25, 0.18, 0.9), False),
    ]


def _car() -> list[Piece]:
    cabin = np.array([[-0.5, -0.05], [-0.3, -0.5], [0.3, -0.5], [0.55, -0.05]])
    wheels = [_ellipse(x, 0.42, 0.23, 0.23) for x in (-0.5, 0.5)]
    return [
        Piece(BODY, cabin),
        Piece(BODY, _box(-0.98, -0.08, 0.98, 0.42)),
        *(Piece("wheels", wheel, False) for wheel in wheels),
    ]


def _fish() -> list[Piece]:
    tail = np.array([[0.45, 0], [1, -0.45], [0.85, 0], [1, 0.45]])
    return [Piece("tail", tail), Piece(BODY, _ellipse(-0.2, 0, 0.78, 0.42))]


def _bottle() -> list[Piece]:
    body = [(-0.12, -0.7), (0.12, -0.7), (0.15, -0.3), (0.34, -0.05)]
    body += [(0.34, 0.95), (-0.34, 0.95), (-0.34, -0.05), (-0.15, -0.3)]
    return [
        Piece(BODY, np.array(body)),
        Piece("cap", _box(-0.15, -0.95, 0.15, -0.7), False),
    ]


def _mushroom() -> list[Piece]:
    return [
        Piece("stem", _box(-0.22, -0.1, 0.22, 0.9), False),
        Piece("cap", _arc(0, 0, 0.95, 0, 0.5, 1.0)),
    ]


def _one(outline: np.ndarray) -> Callable[[], list[Piece]]:
    return lambda: [Piece(BODY, outline)]


THINGS: dict[str, Callable[[], list[Piece]]] = {
    "circle": _one(_ellipse(0, 0, 0.9, 0.9)),
    "square": _one(_box(-0.8, -0.8, 0.8, 0.8)),
    "triangle": _one(np.array([[0, -0.95], [0.95, 0.8], [-0.95, 0.8]])),
    "star": _one(_star()),
    "ring": _one(_arc(0, 0, 0.95, 0.6, 0, 1)),
    "cross": _one(_cross()),
    "heart": _one(_heart()),
    "moon": _one(_moon()),
    "cup": _cup,
    "spoon": lambda: [
        Piece("handle", _box(-0.09, -0.2, 0.09, 1)),
        Piece(BODY, _ellipse(0, -0.55, 0.32, 0.45)),
    ],
    "fork": _fork,
    "bottle": _bottle,
    "house": _house,
    "tree": _tree,
    "car": _car,
    "flower": _flower,
    "fish": _fish,
    "mushroom": _mushroom,
}
"""Every thing by its name; its pieces, from back to front."""

THIN = frozenset({"spoon", "fork", "bottle"})
"""Things that are drawn longer than others, as they cover little of their frame."""

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (205, 35, 35),
    "orange": (240, 140, 25),
    "yellow": (240, 220, 50),
    "green": (50, 150, 60),
    "blue": (45, 85, 200),
    "purple": (125, 55, 160),
    "pink": (245, 150, 190),
    "brown": (120, 75, 40),
    "black": (28, 28, 30),
    "white": (240, 240, 238),
    "grey": (135, 138, 140),
}
"""Colours in sRGB; those of a thing vary about them."""
