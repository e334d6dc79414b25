"""Captions of drawn things: colour, name, size, place and part, true of one alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

BIG, SMALL = ("big", "large"), ("small", "little")
PLACES = ("on the left", "on the right", "at the top", "at the bottom", "in the middle")

# A thing is big where it has this many times the area of the next one of its name, and
# in a place where it is nearer by this share of the image's side.
_LARGER = 1.7
_NEARER = 0.12


class Caption(NamedTuple):
    """A description of a thing, or of a part of it.

    Attributes:
        thing: Its name.
        colour: Its colour, or "".
        size: "big" or "small" among the things of its name, or "".
        place: One of `PLACES`, among the things of its name, or "".
        part: A part of it, or "" for the whole.
    """

    thing: str
    colour: str = ""
    size: str = ""
    place: str = ""
    part: str = ""

    def text(self, article: str = "the") -> str:
        """Returns it in words, such as "the handle of the red cup on the left"."""
        words = " ".join(word for word in (self.size, self.colour, self.thing) if word)
        owner = "the" if self.part else article
        if owner == "a" and words[0] in "aeiou":
            owner = "an"
        text = f"{owner} {words}".strip()
        if self.part:
            text = f"{article} {self.part} of {text}".strip()
        return f"{text} {self.place}".strip()


class Seen(NamedTuple):
    """The properties that captions name.

    Attributes:
        thing: Name of a thing.
        colour: Its colour.
        area: Its visible area, in pixels.
        centre: (x, y) of its centre, as shares of the image's sides.
    """

    thing: str
    colour: str
    area: float
    centre: tuple[float, float]


def describe(seen: Sequence[Seen]) -> list[list[Caption]]:
    """Returns for each thing the captions that are true of it and of no other.

    The shorter ones come first. A thing may have none.
    """
    candidates = [list(_true_of(index, seen)) for index in range(len(seen))]
    counts: dict[Caption, int] = {}
    for of_thing in candidates:
        for caption in of_thing:
            counts[caption] = counts.get(caption, 0) + 1
    return [[c for c in of_thing if counts[c] == 1] for of_thing in candidates]


def _true_of(index: int, seen: Sequence[Seen]) -> Iterator[Caption]:
    own = seen[index]
    for colour in ("", own.colour):
        alike = [
            other
            for i, other in enumerate(seen)
            if i != index and other.thing == own.thing and colour in ("", other.colour)
        ]
        size = _size(own, alike)
        places = _places(own, alike)
        yield Caption(own.thing, colour)
        if size:
            yield Caption(own.thing, colour, size)
        for place in places:
            yield Caption(own.thing, colour, "", place)


def _size(own: Seen, alike: Sequence[Seen]) -> str:
    if not alike:
        return ""
    if own.area > _LARGER * max(other.area for other in alike):
        return "big"
    if _LARGER * own.area < min(other.area for other in alike):
        return "small"
    return ""


def _places(own: Seen, alike: Sequence[Seen]) -> Iterator[str]:
    """Yields the places of a thing: in the image if it is alone, else among its like."""
    x, y = own.centre
    sides = ((x, 0), (1 - x, 0), (y, 1), (1 - y, 1))
    for place, (distance, axis) in zip(PLACES, sides, strict=False):
        others = [other.centre[axis] for other in alike]
        if place in ("on the right", "at the bottom"):
            others = [1 - value for value in others]
        if distance < min([0.45, *others]) - _NEARER:
            yield place
    off = max(abs(x - 0.5), abs(y - 0.5))
    others = [max(abs(o.centre[0] - 0.5), abs(o.centre[1] - 0.5)) for o in alike]
    if off < 0.15 and off < min([1.0, *others]) - _NEARER:
        yield "in the middle"
