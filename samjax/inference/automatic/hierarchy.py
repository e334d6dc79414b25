"""Containment hierarchy of the masks of an image: whole, part, subpart.

The levels are those of SAM, section 3; neither the paper nor the release assigns masks to
them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from samjax.data.schema import Annotation
from samjax.geometry import overlaps
from samjax.geometry.masks import run_lengths


def with_hierarchy(
    annotations: Sequence[Annotation], threshold: float = 0.9
) -> list[Annotation]:
    """Adds to every mask its parent, the smallest mask that contains it.

    Args:
        annotations: the masks of one image, as run lengths.
        threshold: share of a mask's pixels that its parent must contain.

    Returns:
        Copies with two more fields: `parent`, the id of the parent, or None; and
        `depth`, 0 for a whole, 1 for a part, 2 for a subpart, and so on.
    """
    if not annotations:
        return []
    parents = overlaps.containment_tree(_shared(annotations), threshold)
    depths = overlaps.depths(parents)
    return [
        {  # pyright: ignore[reportReturnType]
            **annotation,
            "parent": annotations[parent]["id"] if parent >= 0 else None,
            "depth": int(depth),
        }
        for annotation, parent, depth in zip(annotations, parents, depths, strict=True)
    ]


def _shared(annotations: Sequence[Annotation]) -> Int[np.ndarray, "k k"]:
    masks = [annotation["segmentation"] for annotation in annotations]
    height, width = masks[0]["size"]
    return overlaps.intersections(
        [run_lengths(mask) for mask in masks], (height, width)
    )
