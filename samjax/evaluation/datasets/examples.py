"""Examples of a training dataset, such as its held-out part, as a dataset of suites.

Images and masks are evaluated in their original size, not in the training frame.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, UInt8

from samjax.data.examples import ExampleSource, RawExample, open_image_file
from samjax.evaluation.datasets.dataset import Sample, Skipped
from samjax.evaluation.datasets.selection import Selection, spread
from samjax.geometry.masks import decode_rle

HELD_OUT = Selection(min_area=1, objects=16)
"""The objects that scores during training are over: all sizes, at most 16 an image."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ExampleSamples:
    """An `ExampleSource` as a `Dataset`.

    Attributes:
        name: Name of the dataset.
        source: The examples.
        selection: The images and objects to score.
    """

    name: str
    source: ExampleSource
    selection: Selection = HELD_OUT

    @property
    def skipped(self) -> Sequence[Skipped]:
        """Empty: the source has left out and named such parts when it was opened."""
        return ()

    @property
    def small(self) -> int:
        """Zero: areas are known when an example is decoded; see `Sample.skipped`."""
        return 0

    @cached_property
    def indices(self) -> list[int]:
        """Indices of the selected examples in the source."""
        return spread(len(self.source), self.selection.images)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int, /) -> Sample | Skipped:
        key = self.indices[index]
        raw = self.source[key]
        try:
            image, masks = read_example(raw)
        except (ValueError, KeyError, TypeError) as error:
            return Skipped(raw.name, "damaged example", _message(raw, error))
        areas = np.count_nonzero(masks, axis=(1, 2))
        large = np.flatnonzero(areas >= self.selection.min_area)
        chosen = self.selection.draw(large, key)
        return Sample(
            name=raw.name,
            image=image,
            targets=masks[chosen],
            objects=[{"example": raw.name, "area": int(areas[i])} for i in chosen],
            skipped=[Skipped(raw.name, "too small")] * (len(masks) - len(large)),
        )


def _message(raw: RawExample, error: Exception) -> str:
    """Returns the problem with an example, with its name."""
    text = str(error) if isinstance(error, ValueError) else f"its record: {error!r}"
    return text if raw.name in text else f"{raw.name}: {text}"


def read_example(
    raw: RawExample,
) -> tuple[UInt8[np.ndarray, "h w 3"], Bool[np.ndarray, "k h w"]]:
    """Decodes an example: the image at the size of its masks, and the non-empty masks.

    Raises:
        ValueError: A part is missing or damaged.
        KeyError: The record has no such field.
        TypeError: A field is of another kind.
    """
    if raw.image is None or raw.record is None:
        raise ValueError(
            raw.problem or f"{raw.name}: the image or the record is missing"
        )
    record: Any = raw.record
    if isinstance(record, bytes):
        record = json.loads(record)
    size = (record["image"]["height"], record["image"]["width"])
    image = open_image_file(raw.image, record["image"]).read(size)
    masks = [
        decode_rle(annotation["segmentation"]) for annotation in record["annotations"]
    ]
    masks = [mask for mask in masks if mask.any()]
    if any(mask.shape != size for mask in masks):
        raise ValueError(f"{raw.name}: a mask is of another size than {size}")
    return image, np.array(masks, bool).reshape(len(masks), *size)
