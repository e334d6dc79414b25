"""Problems with data, in words: many on one line, and those of examples of a run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from samjax.data.examples import ExampleSource
from samjax.data.prepare import PrepareConfig, diagnose

if TYPE_CHECKING:
    # It brings JAX, which processes that only read do without.
    from samjax.data.batch import RunBatch

# Kinds of problems that are named; the rest is counted.
_SHOWN = 4

# Damaged examples of which a run keeps the place.
_KEPT = 100


def summary(problems: Sequence[str]) -> str:
    """Puts problems on one line: the first of every kind, and how many there are of it.

    Problems are of one kind where they differ in names and numbers only. The kinds with
    most problems come first.
    """
    kinds: dict[str, list[str]] = {}
    for problem in problems:
        kinds.setdefault(_kind(problem), []).append(problem)
    most = sorted(kinds.values(), key=len, reverse=True)
    shown = [
        own[0] if len(own) == 1 else f"{own[0]} (and {len(own) - 1} more like it)"
        for own in most[:_SHOWN]
    ]
    rest = sum(map(len, most[_SHOWN:]))
    return "; ".join([*shown, f"and {rest} more"] if rest else shown)


def _kind(problem: str) -> str:
    """A problem without what differs among those of one kind: names, values, numbers."""
    without_values = re.sub(r"'[^']*'|\[[^\]]*\]|\S*[/\\.]\S*", "", problem)
    return re.sub(r"[\d.]+", "#", without_values)


class DamageLog:
    """The first damaged examples among the batches of a run.

    Args:
        parts: The datasets that batches are of, each with what becomes of its examples;
            None for a part that is drawn. Where batches do not name parts, one.
    """

    def __init__(self, parts: Sequence[tuple[ExampleSource, PrepareConfig] | None]):
        self._parts = tuple(parts)
        self._damaged: dict[tuple[int, int], None] = {}
        self._masks: dict[tuple[int, int], None] = {}

    def add(self, batch: RunBatch) -> None:
        """Keeps the places of the damaged examples of a batch."""
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

    def words(self) -> list[str]:
        """Says what is wrong with them, whole examples first; they are read again."""
        found = []
        for number, index in {**self._damaged, **self._masks}:
            part = self._parts[number]
            if part is not None:
                examples, config = part
                found.append(diagnose(examples[index], config))
        return [words for words in found if words is not None]
