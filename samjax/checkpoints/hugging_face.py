"""Folders of Hugging Face: `config.json` beside the tensors of transformers' `SamModel`.

The tensors have the release's layout under other names, which are in the weight map.
This module has the folder's layout: the files of the tensors and their shards, and the
`config.json` of a `SamConfig`.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from samjax.checkpoints.errors import CheckpointError
from samjax.models import SamConfig

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.safetensors"
# In the order in which transformers looks for them.
CANDIDATES = (WEIGHTS_NAME, "pytorch_model.bin")
# OpenCLIP's, beside a config of its own.
RELEASED_CANDIDATES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")


def weight_files(folder: Path, candidates: tuple[str, ...] = CANDIDATES) -> list[Path]:
    """Returns the files that hold the tensors of a folder: one, or its shards.

    Args:
        folder: The folder.
        candidates: Names of whole files, in order of preference.

    Raises:
        CheckpointError: If there are none, or the list of shards leaves the folder.
    """
    for name in candidates:
        if (folder / name).is_file():
            return [folder / name]
        index = folder / f"{name}.index.json"
        if index.is_file():
            return [folder / shard for shard in _shards(index)]
    raise CheckpointError(
        f"{folder} has no weights: expected samjax.safetensors (samjax's own form), or "
        f"{' or '.join(candidates)} or the index of their shards (Hugging Face)."
    )


def read_config(
    folder: Path, model_types: tuple[str, ...] = ("sam",)
) -> dict[str, Any]:
    """Reads `config.json`, checking that it is one of SAM, or of these models.

    Raises:
        CheckpointError: If it is missing or of another model.
    """
    path = folder / CONFIG_NAME
    if not path.is_file():
        raise CheckpointError(f"{folder} has no {CONFIG_NAME}.")
    config = read_json(path)
    if config.get("model_type") not in model_types:
        raise CheckpointError(
            f"{path} says model_type {config.get('model_type')!r:.80}, expected "
            f"{' or '.join(map(repr, model_types))}."
        )
    return config


def decoder_heads(config: Mapping[str, Any]) -> int:
    """Returns the decoder's number of attention heads, which no shape shows."""
    section = config.get("mask_decoder_config")
    heads = section.get("num_attention_heads", 8) if isinstance(section, dict) else 8
    return heads if type(heads) is int and 0 < heads <= 1024 else 8


def contradictions(stored: Mapping[str, Any], config: SamConfig) -> list[str]:
    """Lists where a `config.json` contradicts the tensors' shapes.

    Fields that it lacks are taken to agree. The epsilon of the decoder's norms is not
    compared: released folders have 1e-6, the release itself computes with 1e-5, and so
    does samjax.
    """
    problems = []
    for section, expected in config_json(config).items():
        given = stored.get(section)
        if not isinstance(expected, dict) or not isinstance(given, dict):
            continue
        for key, value in expected.items():
            got = given.get(key)
            got = list(got) if isinstance(got, tuple) else got
            if got is None or key == "layer_norm_eps" or got == value:
                continue
            problems.append(
                f"{CONFIG_NAME} says {section}.{key} = {got!r:.80}, the tensors' "
                f"shapes and samjax say {value!r}"
            )
    return problems


def config_json(config: SamConfig) -> dict[str, Any]:
    """Returns the `config.json` with which transformers builds the model of a config.

    The decoder's epsilon is the 1e-5 of the release, not transformers' default.
    """
    return {
        "architectures": ["SamModel"],
        "model_type": "sam",
        "vision_config": {
            "model_type": "sam_vision_model",
            "hidden_size": config.embed_dim,
            "output_channels": config.prompt_embed_dim,
            "num_hidden_layers": config.depth,
            "num_attention_heads": config.num_heads,
            "num_channels": 3,
            "image_size": config.image_size,
            "patch_size": config.patch_size,
            "hidden_act": "gelu",
            "layer_norm_eps": 1e-6,
            "qkv_bias": True,
            "use_abs_pos": True,
            "use_rel_pos": True,
            "window_size": config.window_size,
            "global_attn_indexes": list(config.global_attention_blocks),
            "num_pos_feats": config.prompt_embed_dim // 2,
            "mlp_dim": int(config.embed_dim * config.mlp_ratio),
        },
        "prompt_encoder_config": {
            "model_type": "sam_prompt_encoder",
            "hidden_size": config.prompt_embed_dim,
            "image_size": config.image_size,
            "patch_size": config.patch_size,
            "mask_input_channels": config.mask_in_chans,
            "num_point_embeddings": 4,
            "hidden_act": "gelu",
            "layer_norm_eps": 1e-6,
        },
        "mask_decoder_config": {
            "model_type": "sam_mask_decoder",
            "hidden_size": config.prompt_embed_dim,
            "hidden_act": "relu",
            "mlp_dim": config.decoder_mlp_dim,
            "num_hidden_layers": config.decoder_depth,
            "num_attention_heads": config.decoder_num_heads,
            "attention_downsample_rate": 2,
            "num_multimask_outputs": config.num_multimask_outputs,
            "iou_head_depth": 3,
            "iou_head_hidden_dim": config.prompt_embed_dim,
            "layer_norm_eps": 1e-5,
        },
    }


def _shards(index: Path) -> list[str]:
    shards = read_json(index).get("weight_map")
    names = set(shards.values()) if isinstance(shards, dict) else set()
    for name in names:
        # An index is untrusted: a shard is a file beside it, by its bare name.
        plain = isinstance(name, str) and Path(name).name == name and "\\" not in name
        if not plain or name in ("", ".."):
            raise CheckpointError(
                f"{index} names the shard {name!r:.200}, expected a file beside it."
            )
    if not names:
        raise CheckpointError(f"{index} names no shards.")
    return sorted(names)


def read_json(path: Path) -> dict[str, Any]:
    """Reads a JSON object.

    Raises:
        CheckpointError: It is none, or larger than any config.
    """
    if path.stat().st_size > MAX_JSON:
        raise CheckpointError(f"{path} is larger than any of its kind.")
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError, OSError) as error:
        raise CheckpointError(f"{path} is no JSON: {error}.") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} is no JSON object.")
    return content


MAX_JSON = 2**24
