"""Statistics of a dataset: images, masks and their distributions, in one pass.

Memory does not grow with the number of images. Sizes of masks are relative as in the
paper's figure 6: the square root of the mask's fraction of the image area.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from samjax.data.examples import ExampleSource, RawExample, open_image_file
from samjax.data.schema import Record, record_from_json

_BINS = 50


class Statistics:
    """Statistics accumulated over raw examples.

    Attributes:
        images: Number of images that could be read, with their records.
        masks: Number of their masks.
        bad: Number of examples that could not be read.
    """

    def __init__(self):
        self.images = 0
        self.masks = 0
        self.bad = 0
        self._image_bytes = 0
        self._masks_of_image: Counter[int] = Counter()
        self._sizes: Counter[tuple[int, int]] = Counter()
        self._stored_sides: Counter[int] = Counter()
        self._relative_sizes = np.zeros(_BINS, np.int64)
        self._text_bytes = 0
        self._score_sums = np.zeros(2)

    def add(self, raw: RawExample) -> None:
        """Adds an example."""
        try:
            if raw.image is None or raw.record is None:
                raise ValueError("something is missing")
            record = raw.record
            if isinstance(record, bytes):
                record = record_from_json(record)
            stored = open_image_file(raw.image, record["image"]).size
        except ValueError:
            self.bad += 1
            return
        self._add_masks(record)
        self.images += 1
        self._image_bytes += len(raw.image)
        self._stored_sides[max(stored)] += 1
        self._sizes[record["image"]["height"], record["image"]["width"]] += 1

    def summary(self) -> dict[str, Any]:
        """Returns the statistics as JSON-serializable values."""
        shares = self._relative_sizes / max(self.masks, 1)
        sides = Counter[int]()
        for size, count in self._sizes.items():
            sides[max(size)] += count
        return {
            "images": self.images,
            "masks": self.masks,
            "bad_examples": self.bad,
            "masks_per_image": _distribution(self._masks_of_image),
            "original_long_side": _distribution(sides),
            "stored_long_side": _distribution(self._stored_sides),
            "image_bytes_mean": self._image_bytes / max(self.images, 1),
            "run_length_bytes_mean": self._text_bytes / max(self.masks, 1),
            "predicted_iou_mean": self._score_sums[0] / max(self.masks, 1),
            "stability_score_mean": self._score_sums[1] / max(self.masks, 1),
            "relative_mask_size": {
                "edges": np.linspace(0, 1, _BINS + 1).round(6).tolist(),
                "shares": shares.round(9).tolist(),
            },
        }

    def _add_masks(self, record: Record | Any) -> None:
        annotations = record["annotations"]
        self.masks += len(annotations)
        self._masks_of_image[len(annotations)] += 1
        if not annotations:
            return
        pixels = record["image"]["height"] * record["image"]["width"]
        areas = np.array([a["area"] for a in annotations], float)
        relative = np.sqrt(areas / max(pixels, 1))
        bins = np.clip((relative * _BINS).astype(int), 0, _BINS - 1)
        self._relative_sizes += np.bincount(bins, minlength=_BINS)
        self._text_bytes += sum(len(a["segmentation"]["counts"]) for a in annotations)
        self._score_sums += [
            sum(a["predicted_iou"] for a in annotations),
            sum(a["stability_score"] for a in annotations),
        ]


def spread_out(source: ExampleSource, limit: int | None) -> Iterable[RawExample]:
    """Returns the examples of a source, or an evenly spaced sample of them.

    Args:
        source: A source of any format.
        limit: Largest number of examples; None for all.
    """
    count = len(source)
    sampled = count if limit is None else min(limit, count)
    return _examples(source, (index * count // sampled for index in range(sampled)))


def _examples(source: ExampleSource, indices: Iterable[int]) -> Iterator[RawExample]:
    return (source[index] for index in indices)


def _distribution(counts: Counter[int]) -> dict[str, float]:
    """Returns mean, extremes and quantiles of a histogram of integers."""
    if not counts:
        return {}
    values = np.array(sorted(counts))
    weights = np.array([counts[value] for value in values])
    below = np.cumsum(weights)
    quantiles = {
        f"p{percent}": int(values[np.searchsorted(below, percent / 100 * below[-1])])
        for percent in (5, 50, 95)
    }
    return {
        "mean": float(np.average(values, weights=weights)),
        "min": int(values[0]),
        **quantiles,
        "max": int(values[-1]),
    }
