"""Checks of what a predictor is given and of what its model predicts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from samjax.prompts import Prompt


def prompts_of(entry: Prompt | Sequence[Prompt]) -> list[Prompt]:
    """Returns the prompts on one image as a list.

    Raises:
        ValueError: It is no prompt and no list of prompts.
    """
    prompts = [entry] if isinstance(entry, Prompt) else entry
    if isinstance(prompts, Sequence) and all(isinstance(p, Prompt) for p in prompts):
        return list(prompts)
    raise ValueError(
        f"got {shown(entry)} for a prompt, expected a samjax.Prompt (or, for "
        "predict_batch, a list of them): samjax.Prompt(points=[[x, y]]), or box=, mask="
    )


def shown(value: Any) -> str:
    """Describes a value for an error message by its type and shape."""
    shape = getattr(value, "shape", None)
    of_shape = "" if shape is None else f" of shape {tuple(shape)}"
    return f"a {type(value).__name__}{of_shape}"


def check_scores(scores: Float[np.ndarray, ...]) -> None:
    """Refuses predictions that are not finite, before masks are made of them.

    Args:
        scores: Predicted IoUs, of any shape.

    Raises:
        ValueError: a score is NaN or infinite.
    """
    if not np.isfinite(scores).all():
        raise ValueError(
            "got scores from the model that are not finite (NaN), expected numbers: the "
            "weights are of a run that diverged, or the model overflows in bfloat16; use "
            "other weights, or float32"
        )
