"""Metrics over objects, on plain numbers."""

from collections.abc import Sequence

import numpy as np


def mean_iou(ious: Sequence[float]) -> float:
    """Returns the mean over objects, as SAM takes it within a data set (section 7.1).

    Raises:
        ValueError: There is no object.
    """
    if not len(ious):
        raise ValueError("got no IoUs, expected at least one object: draw more scenes")
    return float(np.mean(ious))
