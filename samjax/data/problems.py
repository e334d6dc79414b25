"""Messages about problems with data: a one-line summary, and a run's damaged examples."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from samjax.data.examples import ExampleSource
from samjax.data.prepare import PrepareConfig, diagnose

if TYPE_CHECKING:
    # Imports JAX, which worker processes need not load.
    from samjax.data.batch import RunBatch

# Number of kinds of problems that a summary shows; the others are counted.
_SHOWN = 4

# Number of damaged examples whose indices a run keeps.
_KEPT = 100


def summary(problems: Sequence[str]) -> str:
    """Summarizes problems on one line: the first of each kind, with their count.

    Problems that differ in names and numbers only are of the same kind. The most
    frequent kinds come first.
    """
    kinds: dict[str, list[str]] = {}
    for problem in problems:
        kinds.setdefault(_kind(problem), []).append(problem)
    most = sorted(kinds.values(), key=len, reverse=True)
    shown = [
        alike[0]
        if len(alike) == 1
        else f"{alike[0]} (and {len(alike) - 1} more like it)"
        for alike in most[:_SHOWN]
    ]
    rest = sum(map(len, most[_SHOWN:]))
    return "; ".join([*shown, f"and {rest} more"] if rest else shown)


def _kind(problem: str) -> str:
    """Returns a problem without names, values and numbers: the key of its kind."""
    without_values = re.sub(r"'[^']*'|\[[^\]]*\]|\S*[/\\.]\S*", "", problem)
    return re.sub(r"[\d.]+", "#", without_values)


class DamageLog:
    """A log of the first damaged examples in the batches of a run.

    Args:
        parts: The datasets of a mixture, each with the preparation of its examples;
            None for drawn scenes. A single one if batches have no field `part`.
    """

    def __init__(self, parts: Sequence[tuple[ExampleSource, PrepareConfig] | None]):
        self._parts = tuple(parts)
        self._damaged: dict[tuple[int, int], None] = {}
        self._masks: dict[tuple[int, int], None] = {}

    def add(self, batch: RunBatch) -> None:
        """Records the indices of the damaged examples of a batch."""
        part: Any = (
            batch.part if batch.part is not None else np.zeros_like(batch.status)
        )
        for kept, rows in (
            (self._damaged, np.asarray(batch.status) > 0),
            (self._masks, np.asarray(batch.bad_masks) > 0),
        ):
            for row in np.flatnonzero(rows):
                if len(kept) < _KEPT:
                    kept[int(part[row]), int(batch.index[row])] = None

    def describe(self) -> list[str]:
        """Reads the recorded examples again and describes their damage.

        Examples that are damaged as a whole come before those with damaged masks.
        """
        descriptions = []
        for part_index, index in {**self._damaged, **self._masks}:
            part = self._parts[part_index]
            if part is not None:
                examples, config = part
                descriptions.append(diagnose(examples[index], config))
        return [text for text in descriptions if text is not None]
