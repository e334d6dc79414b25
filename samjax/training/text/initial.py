"""SAM and CLIP or SigLIP put together: the initial weights of training with text."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np

from samjax import checkpoints
from samjax.models.clip import Clip, ClipConfig
from samjax.models.clip.config import DualEncoderConfig
from samjax.models.config import SamArchitecture, SamConfig
from samjax.models.params import (
    KERNEL,
    TEXT_ENCODER,
    TEXT_PROJECTION,
    Params,
    with_value,
)
from samjax.models.siglip import Siglip, SiglipConfig
from samjax.models.text_sam import TextSamConfig
from samjax.text import pack_vocabulary


def load_clip(source: str) -> tuple[Clip | Siglip, Params]:
    """Loads CLIP or SigLIP.

    Args:
        source: A name, a file or a folder, as for `samjax.load`.

    Raises:
        CheckpointError: It cannot be read, or is neither.
    """
    model, params = checkpoints.load(source)
    if not isinstance(model, Clip | Siglip):
        raise checkpoints.CheckpointError(
            f"{source} is a {type(model).__name__}, expected weights of CLIP or SigLIP."
        )
    return model, params


def with_text(
    sam: SamConfig, clip: DualEncoderConfig, vocabulary: str | Path | None = None
) -> TextSamConfig:
    """Returns the config of a SAM with the text tower of a CLIP or a SigLIP.

    Args:
        sam: The SAM.
        clip: Config of the CLIP or SigLIP.
        vocabulary: Folder of SigLIP's weights, or the file of its vocabulary there;
            CLIP's is in samjax.

    Raises:
        FileNotFoundError: There is no vocabulary.
        ValueError: It is too large, or given for CLIP.
    """
    fields = {f.name: getattr(sam, f.name) for f in dataclasses.fields(SamConfig)}
    packed = "" if vocabulary is None else pack_vocabulary(vocabulary)
    config = TextSamConfig(**fields, **text_sizes(clip), text_vocabulary=packed)
    if problems := config.problems():
        raise ValueError("; ".join(problems))
    return config


def text_sizes(clip: Any) -> dict[str, Any]:
    """Returns the fields of `TextSamConfig` that are those of a CLIP or a SigLIP.

    Args:
        clip: Config of the CLIP or SigLIP.
    """
    is_siglip = isinstance(clip, SiglipConfig)
    return {
        "text_tower": "siglip" if is_siglip else "clip",
        "text_embed_dim": clip.embed_dim,
        "text_width": clip.text_width,
        "text_depth": clip.text_depth,
        "text_heads": clip.text_heads,
        "text_mlp_dim": clip.text_mlp_dim,
        "vocab_size": clip.vocab_size,
        "context_length": clip.context_length,
        "quick_gelu": not is_siglip and clip.quick_gelu,
    }


def without_text(config: SamConfig) -> SamArchitecture:
    """Returns the architecture of a model without its text tower."""
    names = [field.name for field in dataclasses.fields(SamArchitecture)]
    return SamArchitecture(**{name: getattr(config, name) for name in names})


def check_sizes(config: TextSamConfig, clip: Clip | Siglip) -> None:
    """Refuses a CLIP or SigLIP whose text tower is not that of a config.

    Raises:
        ValueError: It is not.
    """
    expected = text_sizes(clip.config)
    other = [name for name, size in expected.items() if getattr(config, name) != size]
    if other or config.words:
        shown = ", ".join(f"{name}={expected[name]}" for name in other)
        raise ValueError(
            "the text tower of the config's model is not that of text.clip: set "
            f"{shown or 'no words'} (samjax.training.text.initial.with_text makes the config)"
        )
    if isinstance(clip, Siglip) and not config.text_vocabulary:
        raise ValueError(
            "the config's model has SigLIP's text tower and no vocabulary, without which "
            "it could not read texts: make it by with_text(SAM, SIGLIP, FOLDER), with the "
            "folder of SigLIP's weights"
        )


def add_text_tower(
    params: Params, clip_params: Params, config: TextSamConfig, seed: int
) -> dict[str, Any]:
    """Returns a SAM's parameters with a text tower and a random projection.

    Args:
        params: Parameters of the SAM.
        clip_params: Those of the CLIP or SigLIP.
        config: Config of the model with text.
        seed: Seed of the projection.
    """
    generator = np.random.default_rng(seed)
    shape = (config.text_embed_dim, config.prompt_embed_dim)
    # Vectors have length 1: each channel of the token starts with a deviation of 1, as
    # those of points have.
    kernel = generator.standard_normal(shape, np.float32)
    projection = {KERNEL: kernel, "bias": np.zeros(shape[1], np.float32)}
    params = with_value(params, TEXT_PROJECTION, jax.device_put(projection))
    kind = SiglipConfig if config.text_tower == "siglip" else ClipConfig
    tower = {name: clip_params[name] for name in kind.text_parts}
    return {**params, TEXT_ENCODER: tower}
