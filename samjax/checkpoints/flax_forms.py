"""Weights in checkpoints of Flax that others published: read, not written.

A family says in `ModelFamily.flax` which arrays of such a file an array of its weight map
consists of. Their layouts differ in axes alone, so that tensors stay views of the file.
"""

import dataclasses
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from samjax.checkpoints.errors import CheckpointError
from samjax.checkpoints.families import families
from samjax.checkpoints.flax_file import read_flax_file
from samjax.checkpoints.mapped import (
    FLOATING,
    JoinedTensor,
    StoredTensor,
    ZeroTensor,
    contiguous_strides,
)
from samjax.models.family import FlaxForm, FlaxPiece, ModelFamily, Shapes

Tensors = dict[str, StoredTensor | JoinedTensor | ZeroTensor]


def open_flax(path: Path) -> tuple[Any, Tensors]:
    """Opens a checkpoint of Flax.

    Args:
        path: The file.

    Returns:
        The config, and the tensors of the weight map by their released names.

    Raises:
        CheckpointError: It cannot be read, or is not one of a family that samjax knows.
    """
    stored = read_flax_file(path)
    family, form = _family_of(path, stored)
    stored = {
        name: tensor
        for name, tensor in stored.items()
        if not re.fullmatch(form.ignored, name)
    }
    shapes = {name: tensor.shape for name, tensor in stored.items()}
    config, problems = form.read_config(shapes)
    if config.num_repeats > len(stored):
        problems.append(f"{len(stored)} arrays are too few for {config}")
    if problems:
        raise CheckpointError(f"{path} is no {family.name} of scenic.", problems)
    tensors, problems = _join(path, stored, family, form, config)
    if problems:
        raise CheckpointError(
            f"{path} does not fit a model of the family {family.name!r}; what comes "
            f"nearest is {config}.",
            problems,
        )
    return config, tensors


def _family_of(
    path: Path, stored: Mapping[str, StoredTensor]
) -> tuple[ModelFamily, FlaxForm]:
    """Returns the family whose names a file has."""
    for family in families().values():
        form = family.flax
        if form is not None and any(re.fullmatch(form.marks, name) for name in stored):
            return family, form
    known = [family.name for family in families().values() if family.flax is not None]
    raise CheckpointError(
        f"{path} is a checkpoint of Flax with {len(stored)} arrays, expected one of "
        f"scenic's of the family {', '.join(known)}.",
        list(stored)[:8],
    )


def _join(
    path: Path,
    stored: Mapping[str, StoredTensor],
    family: ModelFamily,
    form: FlaxForm,
    config: Any,
) -> tuple[Tensors, list[str]]:
    """Returns the tensors of the weight map, and all that is missing or too much."""
    shapes = {name: tensor.shape for name, tensor in stored.items()}
    file = next(iter(stored.values())).file
    absent = _absent(family, form, config, shapes)
    left = dict(stored)
    tensors: Tensors = {}
    problems: list[str] = []
    for entry in family.entries(config):
        if any(re.fullmatch(part, entry.released) for part in absent):
            tensors[entry.released] = ZeroTensor(file, "F32", entry.shape)
            continue
        pieces = form.pieces(entry, shapes)
        parts = []
        for piece in pieces:
            tensor = left.pop(piece.name, None)
            if tensor is None:
                problems.append(f"{piece.name} is missing")
            elif tensor.shape != piece.stored:
                problems.append(
                    f"{piece.name} has shape {tensor.shape}, expected {piece.stored}"
                )
            elif tensor.dtype not in FLOATING:
                problems.append(f"{piece.name} is stored as {tensor.dtype}")
            else:
                parts.append(_view(tensor, piece))
        if len(parts) == len(pieces):
            if len({part.dtype for part in parts}) > 1:
                problems.append(f"{pieces[0].name} and its like have several dtypes")
            tensors[entry.released] = (
                parts[0] if len(parts) == 1 else JoinedTensor(tuple(parts))
            )
    problems += [
        f"{name:.200} {tensor.shape} is not part of the model"
        for name, tensor in left.items()
    ]
    if absent and not problems:
        warnings.warn(f"{path}: {'; '.join(absent.values())}.", stacklevel=5)
    return tensors, problems


def _absent(
    family: ModelFamily, form: FlaxForm, config: Any, shapes: Shapes
) -> dict[str, str]:
    """Returns the optional parts of which a file has nothing, with their notes."""
    present = {
        part
        for entry in family.entries(config)
        for part, _ in form.optional
        if re.fullmatch(part, entry.released)
        and any(piece.name in shapes for piece in form.pieces(entry, shapes))
    }
    return {part: note for part, note in form.optional if part not in present}


def _view(tensor: StoredTensor, piece: FlaxPiece) -> StoredTensor:
    """Returns a tensor with its axes merged and in the order of the release."""
    strides = contiguous_strides(piece.merged)
    return dataclasses.replace(
        tensor,
        shape=tuple(piece.merged[axis] for axis in piece.order),
        strides=tuple(strides[axis] for axis in piece.order),
    )
