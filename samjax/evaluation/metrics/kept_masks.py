"""The masks that are found in an image, kept among its records: results in COCO's form."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from samjax.evaluation.datasets.dataset import Sample
from samjax.evaluation.datasets.detection_sets import image_of
from samjax.evaluation.metrics.metric import ImageRecords, Metric
from samjax.evaluation.policies.policy import Round

_FIELD = "kept_masks"


@dataclass(frozen=True, kw_only=True)
class KeptMasks(Metric):
    """Keeps the detections of a round as a value of the image, and scores nothing."""

    def observe(self, round: Round, sample: Sample, records: ImageRecords) -> None:
        """Records the masks, scores and categories."""
        if round.detections is None or "id" not in image_of(sample):
            return
        records.values[_FIELD] = [
            {
                "image_id": image_of(sample)["id"],
                "category_id": found.category,
                "score": found.score,
                "segmentation": dict(found.mask),
            }
            for found in round.detections
        ]


def results_of(images: Sequence[ImageRecords]) -> Iterator[dict[str, Any]]:
    """Iterates over the kept masks of images, in COCO's form of results.

    Args:
        images: The records of the images.
    """
    for image in images:
        yield from image.values.get(_FIELD, ())
