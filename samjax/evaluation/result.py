"""The result of a suite on sets of photos: scores, intervals, and every number behind them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from samjax.files import check_replaceable, json_text, write_bytes

FORMAT = "samjax evaluation"
VERSION = 1


@dataclass(frozen=True, kw_only=True)
class SetResult:
    """The result on one set.

    Attributes:
        name: The name of the set.
        images: Photos that were scored.
        scores: Mean IoUs over objects, by the names of `single_point_photos`.
        intervals: 95 % intervals of the same.
        noc: For each threshold the mean number of clicks, its interval and the share of
            objects that do not reach it; empty unless asked for.
        calibration: As `samjax.evaluation.metrics.calibration`; None for models without
            clicks.
        small: Objects below the least area, which are left out.
        skipped: Names of what was left out, and the errors, by reason.
        objects: One record per object.
        seconds: The time that it took.
    """

    name: str
    images: int
    scores: Mapping[str, float]
    intervals: Mapping[str, list[float]]
    noc: Mapping[str, Mapping[str, Any]]
    calibration: Mapping[str, Any] | None
    small: int
    skipped: Mapping[str, list[str]]
    objects: tuple[Mapping[str, Any], ...]
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Result:
    """The result of a suite.

    Attributes:
        suite: Its name.
        model: The description of the model (`Segmenter.describe`).
        protocol: Every choice that the scores depend on.
        deviations: Where the protocol departs from the paper's.
        scores: Means over the sets.
        intervals: Their 95 % intervals.
        calibration: Over the objects of all sets.
        sets: The result on each set.
        versions: Of what it was computed with.
    """

    suite: str
    model: Mapping[str, Any]
    protocol: Mapping[str, Any]
    deviations: tuple[str, ...]
    scores: Mapping[str, float]
    intervals: Mapping[str, list[float]]
    calibration: Mapping[str, Any] | None
    sets: tuple[SetResult, ...]
    versions: Mapping[str, str]

    def save(self, path: str | os.PathLike, *, overwrite: bool = False) -> None:
        """Writes the result as JSON; the file is whole or not there.

        Args:
            path: Of the file.
            overwrite: Whether a file is replaced that is no such result.

        Raises:
            WouldReplace: Such a file is there, and stays as it is.
            OSError: It cannot be written.
        """
        path = Path(path)
        check_replaceable(path, "evaluation", overwrite=overwrite)
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {"format": FORMAT, "version": VERSION} | asdict(self)
        text = json_text(content, indent=1)
        write_bytes(path, f"{text}\n".encode())

    @classmethod
    def load(cls, path: str | os.PathLike) -> Result:
        """Reads a result that `save` wrote.

        Raises:
            ValueError: The file is none, or of another version.
            OSError: It cannot be read.
        """
        fields = _read(Path(path))
        if fields is None or fields.pop("version") != VERSION:
            raise ValueError(
                f"{path}: expected a result of `samjax evaluate --data` of version "
                f"{VERSION}"
            )
        fields["sets"] = tuple(
            SetResult(**one | {"objects": tuple(one["objects"])})
            for one in fields["sets"]
        )
        fields["deviations"] = tuple(fields["deviations"])
        return cls(**fields)


def _read(path: Path) -> dict[str, Any] | None:
    """The fields of a result, `version` among them; None of another file."""
    try:
        fields = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict) or fields.pop("format", None) != FORMAT:
        return None
    return fields
