"""Weights without an image encoder: they name the bundled weights whose encoder they use.

`small_text` is `small` with a text tower and a mask decoder of its own. Its file leaves
out the image encoder, most of the bytes, and takes it from the file of `small`. A
checksum in the metadata holds that it is the one which the rest was trained over.
"""

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from samjax.checkpoints.errors import CheckpointError
from samjax.checkpoints.mapped import StoredTensor
from samjax.checkpoints.releases import RELEASES
from samjax.checkpoints.safetensors_file import read_safetensors
from samjax.models.config import Architecture

BASE_KEY = "encoder_of"
"""Key of the metadata that names the bundled weights with the image encoder."""

CHECKSUM_KEY = "encoder_checksum"
"""Key of the metadata with the checksum of its tensors."""


def shared_tensors(
    path: Path, metadata: Mapping[str, str], config: Architecture
) -> dict[str, StoredTensor]:
    """Returns the tensors of an image encoder that a file takes from other weights.

    Args:
        path: The file, for messages.
        metadata: Its metadata.
        config: Its config.

    Returns:
        Name to tensor, not yet read; none for a file that is whole.

    Raises:
        CheckpointError: There are no such weights here, or they are others.
    """
    name = metadata.get(BASE_KEY)
    if name is None:
        return {}
    tensors = encoder_tensors(path, name, config)
    if encoder_checksum(tensors) != metadata.get(CHECKSUM_KEY):
        raise CheckpointError(
            f"{path} was made with another version of the weights {name!r} than this "
            "samjax has: use the samjax that it came with."
        )
    return tensors


def encoder_tensors(
    path: Path, name: str, config: Architecture
) -> dict[str, StoredTensor]:
    """Opens the image encoder of bundled weights.

    Args:
        path: The file that uses it, for messages.
        name: Name of the weights.
        config: Config of the model that uses it.

    Raises:
        CheckpointError: There are no such weights here.
    """
    release = RELEASES.get(name)
    if release is None or not release.bundled or not release.path.is_file():
        bundled = [name for name, other in RELEASES.items() if other.bundled]
        raise CheckpointError(
            f"{path} uses the image encoder of {name!r:.80}, expected one of "
            f"{', '.join(bundled)}, which come with samjax."
        )
    assert release.config is not None
    if release.config.encoder_fields() != config.encoder_fields():
        raise CheckpointError(
            f"{path} uses the image encoder of {name!r}, whose sizes are not those of "
            "its config."
        )
    tensors = read_safetensors(release.path).tensors
    return {
        key: tensor
        for key, tensor in tensors.items()
        if key.split("/")[0] in config.encoder_parts
    }


def encoder_checksum(tensors: Mapping[str, StoredTensor]) -> str:
    """Returns the checksum of an image encoder, from those of its tensors."""
    words = [f"{name} {tensors[name].crc}" for name in sorted(tensors)]
    return f"{zlib.crc32(' '.join(words).encode()):08x}"


def check_encoder(
    path: Path,
    name: str,
    tensors: Mapping[str, StoredTensor],
    leaves: Mapping[tuple[str, ...], Any],
) -> None:
    """Refuses parameters whose image encoder is not that of other weights.

    Args:
        path: The file to be written, for messages.
        name: Name of the other weights.
        tensors: Their image encoder.
        leaves: Path to array of the parameters.

    Raises:
        CheckpointError: It is another one.
    """
    other = [
        key
        for key, tensor in tensors.items()
        if not np.array_equal(
            np.asarray(leaves.get(tuple(key.split("/")), np.nan), np.float32),
            tensor.array().astype(np.float32),
        )
    ]
    if other:
        raise CheckpointError(
            f"{path} cannot leave out its image encoder: it is not that of {name!r}.",
            other,
        )
