"""Groups of annotated objects: a table of a user, and datasets with groups in their records.

A table is a CSV file with a header, or JSON: a list of objects with the same fields. The
columns `image` (name of the photo in its set) and `annotation` (its id) say what a row is
about; either may be missing, or empty. Every other column is an attribute, and its value
the group: `gender`, `country`. An empty value is no group.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from samjax.data.formats.guards import whole_number
from samjax.evaluation.datasets.dataset import Dataset, Sample, Skipped
from samjax.files import read_regular

GROUPS = "groups"
"""The field of an object's record with its groups by attribute."""

Groups = Mapping[str, str]
Key = tuple[str, int | None]
"""The image of a row, "" for any, and the annotation, None for all of the image."""


@dataclass(frozen=True, kw_only=True, eq=False)
class GroupedSamples:
    """A dataset of which the objects with a group are kept.

    Attributes:
        samples: The dataset.
        groups: The groups of images and annotations.
    """

    samples: Dataset
    groups: Mapping[Key, Groups]

    @property
    def name(self) -> str:
        """Name of the dataset."""
        return self.samples.name

    @property
    def skipped(self) -> Sequence[Skipped]:
        """Parts that were left out when the dataset was opened."""
        return self.samples.skipped

    @property
    def small(self) -> int:
        """Number of objects below the least area, where that is known."""
        return self.samples.small

    @cached_property
    def attributes(self) -> list[str]:
        """The attributes that some row has a group of."""
        return sorted({name for groups in self.groups.values() for name in groups})

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int, /) -> Sample | Skipped:
        sample = self.samples[index]
        if isinstance(sample, Skipped):
            return sample
        kept, objects, skipped = [], [], list(sample.skipped)
        for number, record in enumerate(sample.objects):
            annotation = record.get("annotation")
            groups = find_groups(self.groups, sample.name, annotation)
            if groups:
                kept.append(number)
                objects.append({**record, GROUPS: dict(groups)})
            else:
                name = f"annotation {annotation} of {sample.name}"
                skipped.append(Skipped(name, "without a group"))
        return dataclasses.replace(
            sample, targets=sample.targets[kept], objects=objects, skipped=skipped
        )


def find_groups(
    groups: Mapping[Key, Groups], image: str, annotation: Any = None
) -> Groups:
    """Returns the groups of an annotation by attribute; empty for none.

    Rows of the annotation come before those of its image, which may be named without
    its folders or its suffix.

    Args:
        groups: The table.
        image: Name of the image.
        annotation: Id of the annotation; None for the image itself.
    """
    plain = image.rpartition("/")[2]
    found: dict[str, str] = {}
    for name in (Path(plain).stem, plain, image):
        found |= groups.get((name, None), {})
    if isinstance(annotation, int):
        for name in ("", Path(plain).stem, plain, image):
            found |= groups.get((name, annotation), {})
    return found


def read_groups(path: Path) -> Mapping[Key, Groups]:
    """Reads a table of groups.

    Raises:
        ValueError: It is no such table.
        OSError: It is not there or cannot be read.
    """
    rows = read_rows(path)
    table: dict[Key, dict[str, str]] = {}
    for number, row in enumerate(rows, start=1):
        image, annotation = row.get("image", ""), row.get("annotation", "")
        key = None if not annotation else whole_number(annotation)
        if (annotation and key is None) or not (image or annotation):
            raise ValueError(
                f"{path}: row {number}: got image {image[:40]!r} and annotation "
                f"{annotation[:40]!r}, expected a name, the number of an annotation, or "
                "both"
            )
        groups = {
            name: value
            for name, value in row.items()
            if name not in ("image", "annotation") and value
        }
        table.setdefault((image, key), {}).update(groups)
    if not any(table.values()):
        raise ValueError(
            f"{path}: got no group, expected a column image or annotation, and one per "
            "attribute"
        )
    return table


def read_rows(path: Path) -> list[dict[str, str]]:
    """Reads the rows of a CSV file with a header, or of a JSON list of objects, as text.

    Raises:
        ValueError: It is neither.
        OSError: It is not there or cannot be read.
    """
    data = read_regular(path)
    if path.suffix.lower() == ".json":
        try:
            rows = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path}: not JSON: {error}") from error
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise ValueError(f"{path}: expected a list of objects")
        return [
            {
                str(name): "" if value is None else str(value)
                for name, value in row.items()
            }
            for row in rows
        ]
    try:
        reader = csv.DictReader(io.StringIO(data.decode("utf-8-sig")), strict=True)
        return [
            {str(name): (value or "").strip() for name, value in row.items() if name}
            for row in reader
        ]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: no CSV file: {error}") from error
