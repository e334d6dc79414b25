"""Initial weights from several models: a pre-trained encoder, a trained mask decoder.

A row of the table is a kind of pre-trained image encoder, `mae:FILE` or `dinov2:FILE`,
with the function that loads it into a model. The word before the colon is that of
`samjax train --initial`.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from samjax.checkpoints.dinov2 import load_dinov2_encoder
from samjax.checkpoints.errors import CheckpointError
from samjax.checkpoints.loading import locate, read_params
from samjax.checkpoints.mae import load_mae_encoder
from samjax.checkpoints.reader import open_checkpoint
from samjax.models import SamConfig
from samjax.models.params import DECODING_PARTS, select_parts

Loader = Callable[[str | Path, Any, SamConfig], Any]

ENCODERS: Mapping[str, Loader] = {
    "mae": load_mae_encoder,
    "dinov2": load_dinov2_encoder,
}


def is_encoder(initial: str) -> bool:
    """Returns whether initial weights are those of an encoder alone, by their prefix."""
    kind, colon, _ = initial.partition(":")
    return bool(colon) and kind in ENCODERS


def load_encoder(initial: str, params: Any, config: SamConfig) -> Any:
    """Loads a pre-trained encoder into a model.

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


def load_decoder(source: str | Path, params: Any, config: SamConfig) -> Any:
    """Loads the prompt encoder and mask decoder of trained weights into a model.

    The image encoder of the weights may be of any size: of its grid only the width of
    the image embedding reaches the mask decoder.

    Args:
        source: The weights, as for `samjax.load`.
        params: The model's parameters.
        config: Its sizes.

    Returns:
        The parameters with prompt encoder and mask decoder from the weights.

    Raises:
        CheckpointError: If the weights cannot be had, or their prompt encoder and mask
            decoder are of other sizes than the model's.
    """
    checkpoint = open_checkpoint(locate(source))
    wrong = [
        f"{field} is {getattr(checkpoint.config, field)}, expected the model's "
        f"{getattr(config, field)}"
        for field in DECODER_SIZES
        if getattr(checkpoint.config, field) != getattr(config, field)
    ]
    if wrong:
        raise CheckpointError(
            f"The mask decoder of {source} is of other sizes than the model's.", wrong
        )
    trained = read_params(checkpoint)
    return {**params, **select_parts(trained, DECODING_PARTS)}


# The decoder reads image embeddings, so that it depends on their channels too.
DECODER_SIZES = ("prompt_embed_dim", *SamConfig.decoder_fields)
