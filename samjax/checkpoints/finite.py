"""Weights that are no numbers are named when they are read, not found in answers."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from samjax.checkpoints.errors import CheckpointError


def not_finite(name: str, array: np.ndarray) -> list[str]:
    """One line for a tensor with NaN or infinite numbers; none for any other."""
    # One pass without a copy for nearly all: a sum is finite only if all numbers are.
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(np.sum(array, dtype=np.float32)):
            return []
    nan, infinite = int(np.isnan(array).sum()), int(np.isinf(array).sum())
    if not nan + infinite:
        return []
    return [f"{name} has {nan} NaN and {infinite} infinite of {array.size} numbers"]


def refuse_not_finite(path: Path | str, problems: Sequence[str]) -> None:
    """Raises what `not_finite` found in a file.

    Raises:
        CheckpointError: There is anything.
    """
    if problems:
        raise CheckpointError(
            f"{path} has weights that are not finite (NaN or infinite), as those of a "
            "training run that diverged: take an earlier checkpoint of it.",
            problems,
        )
