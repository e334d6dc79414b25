"""The flat report of scores on drawn scenes: one dataset, no intervals."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from samjax.evaluation.result import Result
from samjax.evaluation.suite import Suite
from samjax.files import (
    KEY,
    check_replaceable,
    json_text,
    mark_of,
    write_bytes,
)


@dataclass(frozen=True, kw_only=True)
class Report:
    """The scores on one dataset.

    Attributes:
        suite: Description of the dataset.
        protocol: Every choice that the scores depend on.
        scores: The scores, by name.
        objects: One record per object, with the values that each score is the mean of.
    """

    suite: str
    protocol: Mapping[str, Any]
    scores: Mapping[str, float]
    objects: tuple[Mapping[str, Any], ...]

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Writes the report as JSON; no partial file is ever left.

        Args:
            path: Path of the file.
            overwrite: Whether a file that is no such report is replaced.

        Raises:
            WouldReplace: Such a file is there, and stays as it is.
            OSError: The file cannot be written.
        """
        path = Path(path)
        check_replaceable(path, "evaluation", overwrite=overwrite)
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {KEY: mark_of("evaluation"), **asdict(self)}
        write_bytes(path, (json_text(content, indent=1) + "\n").encode())

    @classmethod
    def load(cls, path: str | Path) -> "Report":
        """Reads a report that `save` wrote."""
        fields = json.loads(Path(path).read_text("utf-8"))
        fields.pop(KEY, None)
        fields["objects"] = tuple(fields["objects"])
        return cls(**fields)

    def summary(self) -> str:
        """Returns the scores as a small table."""
        width = max(map(len, self.scores))
        lines = [f"{name:<{width}}  {value:.3f}" for name, value in self.scores.items()]
        return "\n".join([f"{self.suite}, {len(self.objects)} objects", *lines])


def flat_report(suite: Suite, result: Result) -> Report:
    """Returns the flat report of a result on one dataset.

    Args:
        suite: The suite.
        result: Its result.
    """
    (only,) = result.sets
    return Report(
        suite=only.name,
        protocol=suite.protocol,
        scores=result.scores,
        objects=only.objects,
    )
