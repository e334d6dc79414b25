"""Forms of weights that families beside SAM have: folders of transformers, and configs.

A family says in `ModelFamily.hugging_face` which tensors of transformers an array of its
weight map consists of, and in `config_files` which JSON files beside its weights have
their config. Both directions between the two are here.
"""

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Shaped

from samjax.checkpoints import hugging_face
from samjax.checkpoints.families import families
from samjax.checkpoints.mapped import JoinedTensor, StoredTensor
from samjax.checkpoints.safetensors_file import Planned
from samjax.models.family import HuggingFaceForm, ModelFamily, Piece
from samjax.models.weight_map import Entry


class KnownConfig(NamedTuple):
    """A config that a file beside weights has.

    Attributes:
        path: The file.
        family: The family of the model.
        config: Its config.
        problems: The faults of the file.
    """

    path: Path
    family: ModelFamily
    config: Any
    problems: list[str]


def config_beside(
    folder: Path, family: ModelFamily | None = None
) -> KnownConfig | None:
    """Reads the config in a folder whose weights have released names.

    Args:
        folder: The folder.
        family: The family of the weights, if it is known.

    Returns:
        The config; None if there is no such file.

    Raises:
        CheckpointError: It is no JSON.
    """
    for known in families().values() if family is None else [family]:
        for name, read in known.config_files.items():
            if (folder / name).is_file():
                config, problems = read(hugging_face.read_json(folder / name))
                return KnownConfig(folder / name, known, config, problems)
        form, path = known.hugging_face, folder / hugging_face.CONFIG_NAME
        # In a folder alone it announces the names of transformers.
        if family is not None and form is not None and path.is_file():
            content = hugging_face.read_json(path)
            if content.get("model_type") == form.model_type:
                return KnownConfig(path, known, *form.read_config(content))
    return None


def released_files(folder: Path) -> list[Path]:
    """Returns the files of a folder whose tensors have released names, if it has any.

    Those of transformers take precedence in a folder that has both.

    Raises:
        CheckpointError: The folder has a family's config, and no weights.
    """
    names = hugging_face.CANDIDATES
    names += tuple(f"{name}.index.json" for name in names)
    if any((folder / name).is_file() for name in names):
        return []
    if config_beside(folder) is None:
        return []
    return hugging_face.weight_files(folder, hugging_face.RELEASED_CANDIDATES)


def family_in_transformers(model_type: Any) -> ModelFamily | None:
    """Returns the family beside SAM of a `config.json`, by its `model_type`."""
    for family in families().values():
        form = family.hugging_face
        if form is not None and form.model_type == model_type:
            return family
    return None


def model_types() -> tuple[str, ...]:
    """Returns all values of `model_type` that samjax reads."""
    forms = [family.hugging_face for family in families().values()]
    return ("sam", *(form.model_type for form in forms if form is not None))


def join_pieces(
    tensors: Mapping[str, StoredTensor],
    form: HuggingFaceForm,
    entries: Iterable[Entry],
) -> tuple[dict[str, StoredTensor | JoinedTensor], list[str]]:
    """Joins tensors of transformers to those of the weight map, without reading them.

    Args:
        tensors: Name to tensor, of transformers.
        form: The family's form.
        entries: The weight map.

    Returns:
        Released name to tensor, as far as they are there; and the tensors that are
        missing, not part of the model or of contradictory shapes.
    """
    left = {
        name: tensor
        for name, tensor in tensors.items()
        if not re.fullmatch(form.ignored, name)
    }
    joined: dict[str, StoredTensor | JoinedTensor] = {}
    problems = []
    for entry in entries:
        pieces = form.pieces(entry)
        found = [left.pop(piece.name, None) for piece in pieces]
        shape = _piece_shape(entry, pieces)
        parts = []
        for piece, tensor in zip(pieces, found, strict=True):
            if tensor is None:
                problems.append(f"{piece.name} is missing")
            elif tensor.shape != shape:
                problems.append(
                    f"{piece.name} has shape {tensor.shape}, expected {shape}"
                )
            else:
                parts.append(_transposed(tensor) if piece.is_transposed else tensor)
        if len(parts) == len(pieces):
            if len({part.dtype for part in parts}) > 1:
                problems.append(f"{pieces[0].name} and its like have several dtypes")
            joined[entry.released] = (
                parts[0] if len(parts) == 1 else JoinedTensor(tuple(parts))
            )
    problems += [
        f"{name:.200} {tensor.shape} is not part of the model"
        for name, tensor in left.items()
    ]
    return joined, problems


def split_pieces(
    form: HuggingFaceForm,
    entries: Iterable[Entry],
    plan: Iterable[Planned],
    arrays: Iterator[Shaped[np.ndarray, "..."]],
) -> tuple[list[Planned], Iterator[Shaped[np.ndarray, "..."]]]:
    """Splits what is to be written under released names into transformers' tensors."""
    pieces = [(entry, form.pieces(entry)) for entry in entries]
    planned = [
        Planned(piece.name, tensor.dtype, _piece_shape(entry, parts))
        for (entry, parts), tensor in zip(pieces, plan, strict=True)
        for piece in parts
    ]

    def split() -> Iterator[np.ndarray]:
        for (_, parts), array in zip(pieces, arrays, strict=True):
            shares = np.split(array, len(parts)) if len(parts) > 1 else [array]
            for piece, share in zip(parts, shares, strict=True):
                yield share.T if piece.is_transposed else share

    return planned, split()


def _piece_shape(entry: Entry, pieces: tuple[Piece, ...]) -> tuple[int, ...]:
    """Returns the shape in transformers of each tensor of an array."""
    if pieces[0].is_transposed:
        return entry.shape[::-1]
    if len(pieces) == 1:
        return entry.shape
    return (entry.shape[0] // len(pieces), *entry.shape[1:])


def _transposed(tensor: StoredTensor) -> StoredTensor:
    return dataclasses.replace(
        tensor, shape=tensor.shape[::-1], strides=tensor.strides[::-1]
    )
