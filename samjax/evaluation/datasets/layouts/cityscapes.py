"""Cityscapes: panoptic masks in maps of 16 bits.

A level below 1000 is a class: a region of stuff, or a group of things that were not
separated. A level from 1000 is thing number `level % 1000` of class `level // 1000`.
"""

from __future__ import annotations

from pathlib import Path

from samjax.evaluation.datasets.entries import Entries
from samjax.evaluation.datasets.layouts.label_maps import (
    LabelMaps,
    NoObject,
    map_entries,
)

STUFF = dict(
    zip(
        (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23),
        (
            *("road", "sidewalk", "building", "wall", "fence", "pole", "traffic light"),
            *("traffic sign", "vegetation", "terrain", "sky"),
        ),
        strict=True,
    )
)
THINGS = dict(
    zip(
        (24, 25, 26, 27, 28, 31, 32, 33),
        ("person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle"),
        strict=True,
    )
)
"""Classes of the panoptic benchmark, by their ids."""

# The ids of the other classes, which the benchmark leaves out; 65535 is -1, a licence
# plate.
_OTHERS = frozenset((*range(7), 9, 10, 14, 15, 16, 18, 29, 30, 65535))


def cityscapes_entries(path: Path, split: str) -> Entries:
    """Lists the frames of a split.

    Args:
        path: The folder with leftImg8bit and gtFine.
        split: The split.
    """

    def map_of(image: Path) -> Path:
        name = image.name.replace("_leftImg8bit.png", "_gtFine_instanceIds.png")
        return path / "gtFine" / split / image.parent.name / name

    return map_entries(
        path,
        f"leftImg8bit/{split}/*/*_leftImg8bit.png",
        map_of,
        LabelMaps(meaning=meaning_of),
        maps=[f"gtFine/{split}/*/*_gtFine_instanceIds.png"],
    )


def meaning_of(label: int) -> str | NoObject:
    """Returns the category of a level; groups of things are left out as crowds are."""
    kind = label // 1000 if 1000 <= label < 65535 else label
    if kind in _OTHERS:
        return NoObject()
    if kind in STUFF and label < 1000:
        return STUFF[kind]
    if kind in THINGS:
        return THINGS[kind] if label >= 1000 else NoObject("a group of things")
    return NoObject("unknown category")
