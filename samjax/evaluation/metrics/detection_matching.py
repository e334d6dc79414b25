"""Greedy matching of detections with objects, by the rule of COCO's evaluation.

By descending score, each detection takes the object of highest IoU among those that are
not taken, if that reaches the threshold; an object that is ignored only if no other is
left. The rule is that of `COCOeval.evaluateImg` in pycocotools, ties included, for many
thresholds and several groups of ignored objects at once.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
"""COCO's thresholds of IoU."""

AREA_BANDS = {
    "all": (0.0, 1e10),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e10),
}
"""COCO's bands of areas in pixels, both ends included."""


def in_band(
    areas: Float[np.ndarray, " n"], band: tuple[float, float]
) -> Bool[np.ndarray, " n"]:
    """Returns which areas are in a band, both ends included.

    Args:
        areas: Areas in pixels.
        band: Least and largest area.
    """
    return (areas >= band[0]) & (areas <= band[1])


def match_detections(
    ious: Float[np.ndarray, "d g"],
    ignored: Bool[np.ndarray, "a g"],
    crowds: Bool[np.ndarray, " g"] | None = None,
    thresholds: Float[np.ndarray, " t"] = IOU_THRESHOLDS,
) -> Int[np.ndarray, "a t d"]:
    """Matches detections with objects.

    Args:
        ious: IoU of every detection, by descending score, with every object.
        ignored: For each group the objects that do not count in it.
        crowds: Objects that any number of detections may match; None for none.
        thresholds: Thresholds of IoU.

    Returns:
        For each group and threshold the object of each detection; -1 for none.
    """
    groups, count = len(ignored), len(thresholds)
    matched = np.full((groups, count, len(ious)), -1)
    if not ious.size:
        return matched
    # pycocotools' limit, so that an IoU of 1 reaches a threshold of 1.
    least = np.minimum(thresholds, 1 - 1e-10)
    free = np.ones((groups, count, ious.shape[1]), bool)
    counted = ~ignored[:, None]
    rows = np.arange(groups)[:, None]
    columns = np.arange(count)[None]
    # All others reach no threshold with any object.
    for index in np.flatnonzero(ious.max(axis=1) >= least.min()):
        near = np.flatnonzero(ious[index] >= least.min())
        reached = free[:, :, near] & (ious[index, near] >= least[:, None])
        first = reached & counted[:, :, near]
        usable = np.where(first.any(axis=2, keepdims=True), first, reached)
        # Of equal IoUs the last object is taken, as in pycocotools.
        values = np.where(usable, ious[index, near], -1.0)[:, :, ::-1]
        taken = near[len(near) - 1 - values.argmax(axis=2)]
        is_match = usable.any(axis=2)
        matched[:, :, index] = np.where(is_match, taken, -1)
        free[rows, columns, taken] &= ~is_match
        if crowds is not None:
            free[:, :, crowds] = True
    return matched
