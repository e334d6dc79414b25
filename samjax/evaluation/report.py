"""What an evaluation found: scores, and the numbers behind them."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from samjax.files import json_text, replacing


@dataclass(frozen=True, kw_only=True)
class Report:
    """The result of one evaluation.

    Attributes:
        suite: What was evaluated on.
        protocol: Every choice that the scores depend on.
        scores: The scores, by name.
        objects: One record per object, with what each score is the mean of.
    """

    suite: str
    protocol: Mapping[str, Any]
    scores: Mapping[str, float]
    objects: tuple[Mapping[str, Any], ...]

    def save(self, path: str | Path) -> None:
        """Writes the report as JSON; the file is whole or not there."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as hidden:
            hidden.write_text(json_text(asdict(self), indent=1) + "\n", "utf-8")

    @classmethod
    def load(cls, path: str | Path) -> "Report":
        """Reads a report that `save` wrote."""
        fields = json.loads(Path(path).read_text("utf-8"))
        fields["objects"] = tuple(fields["objects"])
        return cls(**fields)

    def summary(self) -> str:
        """Puts the scores in a small table."""
        width = max(map(len, self.scores))
        lines = [f"{name:<{width}}  {value:.3f}" for name, value in self.scores.items()]
        return "\n".join([f"{self.suite}, {len(self.objects)} objects", *lines])
