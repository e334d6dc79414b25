"""Initial weights of the image encoder from other models: `mae:FILE`, `dinov2:FILE`.

A row of the table is a kind of pre-trained encoder, with what puts one into a model. The
word before the colon is the one that `samjax train --initial` takes.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from samjax.checkpoints.dinov2 import load_dinov2_encoder
from samjax.checkpoints.mae import load_mae_encoder
from samjax.models import SamConfig

Loader = Callable[[str | Path, Any, SamConfig], Any]

ENCODERS: Mapping[str, Loader] = {
    "mae": load_mae_encoder,
    "dinov2": load_dinov2_encoder,
}


def is_encoder(initial: str) -> bool:
    """Says whether initial weights are those of an encoder alone, by their prefix."""
    kind, colon, _ = initial.partition(":")
    return bool(colon) and kind in ENCODERS


def load_encoder(initial: str, params: Any, config: SamConfig) -> Any:
    """Puts a pre-trained encoder into a model.

    Args:
        initial: A kind of encoder and its file or folder, such as `dinov2:FOLDER`.
        params: The model's parameters, freshly drawn.
        config: Its sizes.

    Returns:
        The parameters with the image encoder's from the file.

    Raises:
        CheckpointError: If the file cannot be used, with everything that is wrong.
    """
    kind, _, path = initial.partition(":")
    return ENCODERS[kind](path, params, config)
