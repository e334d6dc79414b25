"""Boundary IoU of masks, whose mean over objects is mBIoU (HQ-SAM). Needs `eval`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from samjax.evaluation.datasets.dataset import Sample
from samjax.evaluation.detections import BOUNDARY_RATIO, boundary_of_mask
from samjax.evaluation.metrics.metric import (
    ImageRecords,
    Metric,
    Summary,
    objects_of,
)
from samjax.evaluation.policies.policy import Round

_FIELD = "boundary_iou"


@dataclass(frozen=True, kw_only=True)
class BoundaryIou(Metric):
    """IoU of the boundaries of the scored mask and the object (Cheng et al., 2021).

    Records get `boundary_iou`, by names of rounds; scores are `boundary_NAME`. Unlike in
    boundary AP the IoU of the masks does not bound it.

    Attributes:
        rename: Maps names of rounds to those of the scores.
        ratio: Width of boundaries, as a share of the diagonal of the image.
    """

    rename: Callable[[str], str] = str
    ratio: float = BOUNDARY_RATIO

    def observe(self, round: Round, sample: Sample, records: ImageRecords) -> None:
        """Records the boundary IoUs of the responses."""
        if not round.is_scored:
            return
        for response in round.responses:
            if response.index is None or response.target is None:
                continue
            own = records.objects[response.index].setdefault(_FIELD, {})
            own[self.rename(round.name)] = boundary_iou(
                response.mask, response.target, self.ratio
            )

    def summarize(self, images: Sequence[ImageRecords]) -> Summary:
        """Computes means over all objects."""
        records = [record[_FIELD] for record in objects_of(images) if _FIELD in record]
        names = records[0] if records else ()
        return Summary(
            per_object={
                f"boundary_{name}": np.array([record[name] for record in records])
                for name in names
            }
        )


def boundary_iou(
    mask: Bool[np.ndarray, "h w"], target: Bool[np.ndarray, "h w"], ratio: float
) -> float:
    """Returns the IoU of the boundaries of two masks; 0 without a boundary.

    Args:
        mask: The one mask.
        target: The other.
        ratio: Width of boundaries, as a share of the diagonal of the image.

    Raises:
        ImportError: OpenCV is missing.
    """
    inner, outer = (boundary_of_mask(of, ratio) for of in (mask, target))
    union = np.count_nonzero(inner | outer)
    return float(np.count_nonzero(inner & outer) / union) if union else 0.0
