"""The result of a suite: scores, intervals, and the records that they come from."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from samjax.files import json_text, write_output

FORMAT = "samjax evaluation"
VERSION = 1


@dataclass(frozen=True, kw_only=True)
class SetResult:
    """The result on one set.

    Attributes:
        name: The name of the set.
        images: Number of images that were scored.
        fingerprint: SHA-256 of their names, pixels and ground truth; "" where results of
            earlier versions have none.
        scores: The scores, by name.
        intervals: 95 % intervals of those that are means over objects.
        details: Tables of the metrics, by name; each is a field of its own in the file.
        small: Number of objects below the least area, which are left out.
        skipped: Names of the parts that were left out, and the errors, by reason.
        objects: One record per object.
        seconds: Duration.
    """

    name: str
    images: int
    fingerprint: str = ""
    scores: Mapping[str, float]
    intervals: Mapping[str, list[float]]
    details: Mapping[str, Any]
    small: int
    skipped: Mapping[str, list[str]]
    objects: tuple[Mapping[str, Any], ...]
    seconds: float

    @property
    def noc(self) -> Mapping[str, Mapping[str, Any]]:
        """Numbers of clicks by threshold (`NumberOfClicks`); empty if not counted."""
        return self.details.get("noc", {})


@dataclass(frozen=True, kw_only=True)
class Result:
    """The result of a suite.

    Attributes:
        suite: Its name.
        suite_version: Version of its protocol (`Suite.version`).
        model: The description of the model (`Segmenter.describe`).
        protocol: Every choice that the scores depend on.
        deviations: Differences from the protocol of the paper.
        scores: Means over the sets.
        intervals: Their 95 % intervals.
        details: Tables of the metrics over the objects of all sets, by name; each is a
            field of its own in the file.
        sets: The result on each set.
        versions: Versions of the packages that it was computed with.
    """

    suite: str
    suite_version: int = 1
    model: Mapping[str, Any]
    protocol: Mapping[str, Any]
    deviations: tuple[str, ...]
    scores: Mapping[str, float]
    intervals: Mapping[str, list[float]]
    details: Mapping[str, Any]
    sets: tuple[SetResult, ...]
    versions: Mapping[str, str]

    @property
    def calibration(self) -> Mapping[str, Any] | None:
        """The calibration of the predicted IoU (`Calibration`), if there is one."""
        return self.details.get("calibration")

    def save(self, path: str | os.PathLike, *, overwrite: bool = False) -> None:
        """Writes the result as JSON; no partial file is ever left.

        Args:
            path: Path of the file.
            overwrite: Whether a file that is no such result is replaced.

        Raises:
            WouldReplace: Such a file is there, and stays as it is.
            OSError: It cannot be written.
        """
        content = {"format": FORMAT, "version": VERSION} | _flat(asdict(self))
        content["sets"] = [_flat(of_set) for of_set in content["sets"]]
        text = json_text(content, indent=1)
        write_output(path, f"{text}\n".encode(), "evaluation", overwrite=overwrite)

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
            SetResult(**_nested(SetResult, of_set)) for of_set in fields["sets"]
        )
        return cls(**_nested(cls, fields))


def _flat(fields: dict[str, Any]) -> dict[str, Any]:
    """Puts each of the details in a field of its own, in their place."""
    flat: dict[str, Any] = {}
    for name, value in fields.items():
        flat |= value if name == "details" else {name: value}
    return flat


def _nested(kind: type, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Collects the fields that a dataclass does not have in its `details`."""
    names = {field.name for field in dataclasses.fields(kind)}
    own = {name: value for name, value in fields.items() if name in names}
    own["details"] = {name: fields[name] for name in fields if name not in names}
    for name in ("objects", "deviations"):
        if name in own:
            own[name] = tuple(own[name])
    return own


def _read(path: Path) -> dict[str, Any] | None:
    """Returns the fields of a result with its `version`; None for any other file."""
    try:
        fields = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict) or fields.pop("format", None) != FORMAT:
        return None
    return fields
