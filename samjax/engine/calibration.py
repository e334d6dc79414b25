"""Thresholds of predicted IoU that reach a precision, chosen on masks with known IoU."""

import numpy as np
from jaxtyping import Float


def threshold_for_precision(
    scores: Float[np.ndarray, " n"],
    ious: Float[np.ndarray, " n"],
    *,
    precision: float = 0.9,
    iou: float = 0.75,
    least: int = 10,
) -> float | None:
    """Returns the lowest threshold above which enough masks are right.

    Args:
        scores: Predicted IoU of each mask.
        ious: Its true IoU.
        precision: Fraction of the masks with at least this score that has to be right.
        iou: True IoU from which a mask is right.
        least: Fewest masks that the precision is measured on.

    Returns:
        The threshold; None if no threshold reaches the precision.
    """
    order = np.argsort(-scores, kind="stable")
    right = np.cumsum(ious[order] >= iou)
    count = np.arange(1, len(scores) + 1)
    # Equal scores are kept or dropped together.
    is_last = np.append(np.diff(scores[order]) != 0, True)[: len(scores)]
    reached = np.flatnonzero((right >= precision * count) & (count >= least) & is_last)
    return float(scores[order][reached[-1]]) if len(reached) else None
