"""Refuses NaN and infinite weights when they are read, before they reach results."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from samjax.checkpoints.errors import CheckpointError


def not_finite(name: str, array: np.ndarray) -> list[str]:
    """Describes a tensor of any shape with NaN or infinite values in one line.

    The list is empty for any other.
    """
    # A sum is finite only if all values are: one pass without a copy for most tensors.
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(np.sum(array, dtype=np.float32)):
            return []
    nan, infinite = int(np.isnan(array).sum()), int(np.isinf(array).sum())
    if not nan + infinite:
        return []
    return [f"{name} has {nan} NaN and {infinite} infinite of {array.size} numbers"]


def refuse_not_finite(path: Path | str, problems: Sequence[str]) -> None:
    """Raises an error for the lines that `not_finite` returned for a file.

    Raises:
        CheckpointError: There are any.
    """
    if problems:
        raise CheckpointError(
            f"{path} has weights that are not finite (NaN or infinite), as those of a "
            "training run that diverged: take an earlier checkpoint of it.",
            problems,
        )
