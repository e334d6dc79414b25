"""Boxes that are known already: a detector that looks them up."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from samjax.inference.detectors.detector import Detections


@dataclass(frozen=True)
class FixedBoxes:
    """Boxes of one image by their text.

    Attributes:
        boxes: XYXY in pixels of the original image, and a score, for every text.
    """

    boxes: Mapping[str, Sequence[tuple[Sequence[float | int], float]]]

    @classmethod
    def load(cls, path: str | os.PathLike) -> FixedBoxes:
        """Reads `[{"text": "a mug", "box": [x0, y0, x1, y1], "score": 0.9}, ...]`.

        Args:
            path: The JSON file; boxes are in pixels of the image, the score may be
                missing.

        Raises:
            ValueError: It is no such file.
            OSError: It cannot be read.
        """
        try:
            rows = json.loads(Path(path).read_text())
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path} is no JSON: {error}") from error
        boxes: dict[str, list] = {}
        for index, row in enumerate(rows if isinstance(rows, list) else [rows]):
            if not _is_row(row):
                raise ValueError(
                    f"{path} has {row!s:.80} at {index}, expected an object with "
                    '"text", "box": [left, top, right, bottom] and maybe "score"'
                )
            box, score = tuple(map(float, row["box"])), float(row.get("score", 1.0))
            boxes.setdefault(row["text"], []).append((box, score))
        return cls(boxes)

    def detect(
        self, image: UInt8[np.ndarray, "h w 3"], texts: Sequence[str]
    ) -> Detections:
        """Returns the boxes of the texts, in pixels of the image."""
        del image
        found = [
            (box, score, index)
            for index, text in enumerate(texts)
            for box, score in self.boxes.get(text, ())
        ]
        return Detections(
            np.array([box for box, _, _ in found], np.float64).reshape(-1, 4),
            np.array([score for _, score, _ in found], np.float64),
            np.array([index for _, _, index in found], np.int64),
        )


def _is_row(row: Any) -> bool:
    def is_number(value: Any) -> bool:
        return type(value) in (int, float) and math.isfinite(value)

    return (
        isinstance(row, dict)
        and isinstance(row.get("text"), str)
        and isinstance(row.get("box"), list)
        and len(row["box"]) == 4
        and all(map(is_number, row["box"]))
        and is_number(row.get("score", 1.0))
    )
