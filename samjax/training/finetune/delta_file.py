"""Trained part of a fine-tuned model as one small file beside its initial weights.

A safetensors file with the trained parameters alone: adapters are some hundred kilobytes
for ViT-B, the mask decoder 16 MB, where the model is 375 MB. Its metadata hold the name
of the initial weights and a hash of all frozen parameters; other weights are refused.

    model, params = samjax.load("vit_b")
    adapted, lora = load_trained("trained.safetensors", params)
    samjax.checkpoints.save("cells.safetensors", model.config, merge_lora(adapted, lora))
"""

import dataclasses
import hashlib
import math
import os
from pathlib import Path
from typing import Any, get_args

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from samjax.checkpoints.errors import CheckpointError
from samjax.checkpoints.finite import not_finite, refuse_not_finite
from samjax.checkpoints.safetensors_file import (
    Planned,
    read_safetensors,
    write_safetensors,
)
from samjax.files import check_replaceable, json_object, json_text, replacing
from samjax.models.params import (
    ADAPTERS,
    AdapterTarget,
    Params,
    Trainable,
    join,
)
from samjax.training.finetune.lora import LoraConfig
from samjax.training.finetune.trainable import merge_params, split_params

MAX_RANK = 2**16
FORMAT = "samjax trained part"
VERSION = "1"


def save_trained(
    path: str | os.PathLike,
    params: Params,
    *,
    trainable: Trainable,
    lora: LoraConfig,
    base: str,
    overwrite: bool = False,
) -> None:
    """Saves the trained part of a model; the file is written completely or not at all.

    Args:
        path: The `.safetensors` file.
        params: The parameters after training, with their adapters if there are any.
        trainable: The trained part.
        lora: Config of the adapters.
        base: Name that the initial weights were loaded by, for error messages.
        overwrite: Whether to replace a file that is no trained part.

    Raises:
        WouldReplace: Such a file is there.
        OSError: The file cannot be written.
    """
    path = Path(path)
    check_replaceable(path, "trained part", overwrite=overwrite)
    trained, frozen = split_params(params, trainable)
    leaves: dict[str, Any] = {
        join(place): leaf for place, leaf in flatten_dict(trained).items()
    }
    plan = [Planned(name, "F32", leaf.shape) for name, leaf in leaves.items()]
    metadata = {
        "format": FORMAT,
        "version": VERSION,
        "base": base,
        "frozen_sha256": hash_params(frozen),
        "lora": json_text(dataclasses.asdict(lora)),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as hidden, hidden.open("wb") as file:
        arrays = (np.asarray(leaf, np.float32) for leaf in leaves.values())
        write_safetensors(file, plan, arrays, metadata, checksums=True)


def load_trained(
    path: str | os.PathLike, params: Params
) -> tuple[dict[str, Any], LoraConfig]:
    """Loads a trained part into the initial weights that it belongs to.

    Args:
        path: The file.
        params: The initial weights of the training, as `samjax.load` returns them.

    Returns:
        The parameters at the end of training, with adapters under `ADAPTERS`, and the
        config for `merge_lora`.

    Raises:
        CheckpointError: It is no such file, is damaged, or belongs to other weights.
    """
    path = Path(path)
    tensors, metadata = read_safetensors(path)
    lora = _checked(path, metadata)
    stored = {
        tuple(name.split("/")): np.array(tensor.array(), np.float32)
        for name, tensor in tensors.items()
    }
    own = {place: leaf for place, leaf in stored.items() if place[0] != ADAPTERS}
    flat = flatten_dict(dict(params))
    unsound = [
        line for place, leaf in stored.items() for line in not_finite(join(place), leaf)
    ]
    refuse_not_finite(path, unsound)
    problems = [
        f"{join(place)} is of shape {leaf.shape}, and these weights have "
        f"{getattr(flat.get(place), 'shape', 'none')}"
        for place, leaf in own.items()
        if getattr(flat.get(place), "shape", None) != leaf.shape
    ]
    frozen = {place: leaf for place, leaf in flat.items() if place not in own}
    frozen_tree = unflatten_dict(frozen)
    if not problems and hash_params(frozen_tree) != metadata["frozen_sha256"]:
        problems = ["the parameters that were not trained are others"]
    if problems:
        raise CheckpointError(
            f"{path} does not belong to these weights, but to those that were loaded as "
            f"{metadata.get('base', '?')!r:.200}.",
            problems,
        )
    return merge_params(unflatten_dict(stored), frozen_tree), lora


def hash_params(params: Params) -> str:
    """Returns a SHA-256 over the path, shape and values of every parameter."""
    digest = hashlib.sha256()
    for place, leaf in sorted(flatten_dict(dict(params)).items()):
        values = np.ascontiguousarray(leaf, np.float32)
        digest.update(f"{join(place)} {values.shape}".encode())
        digest.update(values.data)
    return digest.hexdigest()


def _checked(path: Path, metadata: dict[str, str]) -> LoraConfig:
    if metadata.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} is no file of trained parts: got one of the format "
            f"{metadata.get('format')!r:.80}, expected what save_trained wrote."
        )
    if metadata.get("version") != VERSION or "frozen_sha256" not in metadata:
        raise CheckpointError(
            f"{path} is of version {metadata.get('version')!r:.20}, expected {VERSION}: "
            "update samjax."
        )
    try:
        fields = json_object(metadata["lora"])
        for name in ("encoder", "decoder"):
            fields[name] = tuple(fields[name])
            if not set(fields[name]) <= set(get_args(AdapterTarget)):
                raise ValueError(f"{name} is {fields[name]!r:.80}")
        rank, alpha = fields["rank"], fields["alpha"]
        if type(rank) is not int or rank > MAX_RANK:
            raise ValueError(f"rank is {rank!r:.80}")
        if alpha is not None and not abs(alpha) < math.inf:
            raise ValueError(f"alpha is {alpha}")
        return LoraConfig(**fields)
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise CheckpointError(
            f"{path} has a damaged config of adapters: {error}."
        ) from error
