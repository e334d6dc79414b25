"""SAM and CLIP put together: the initial weights of training with text."""

import dataclasses
from typing import Any

import jax
import numpy as np

from samjax import checkpoints
from samjax.models.clip import Clip, ClipConfig
from samjax.models.config import SamArchitecture, SamConfig
from samjax.models.params import (
    KERNEL,
    TEXT_ENCODER,
    TEXT_PROJECTION,
    TEXT_TOWER,
    Params,
    with_value,
)
from samjax.models.text_sam import TextSamConfig


def load_clip(source: str) -> tuple[Clip, Params]:
    """Loads CLIP.

    Args:
        source: A name, a file or a folder, as for `samjax.load`.

    Raises:
        CheckpointError: It cannot be read, or is no CLIP.
    """
    model, params = checkpoints.load(source)
    if not isinstance(model, Clip):
        raise checkpoints.CheckpointError(
            f"{source} is a {type(model).__name__}, expected weights of CLIP."
        )
    return model, params


def with_text(sam: SamConfig, clip: ClipConfig) -> TextSamConfig:
    """Returns the config of a SAM with the text tower of a CLIP."""
    fields = {f.name: getattr(sam, f.name) for f in dataclasses.fields(SamConfig)}
    return TextSamConfig(**fields, **text_sizes(clip))


def text_sizes(clip: ClipConfig) -> dict[str, Any]:
    """Returns the fields of `TextSamConfig` that are those of a CLIP."""
    return {
        "text_embed_dim": clip.embed_dim,
        "text_width": clip.text_width,
        "text_depth": clip.text_depth,
        "text_heads": clip.text_heads,
        "text_mlp_dim": clip.text_mlp_dim,
        "vocab_size": clip.vocab_size,
        "context_length": clip.context_length,
        "quick_gelu": clip.quick_gelu,
    }


def without_text(config: SamConfig) -> SamArchitecture:
    """Returns the architecture of a model without its text tower."""
    names = [field.name for field in dataclasses.fields(SamArchitecture)]
    return SamArchitecture(**{name: getattr(config, name) for name in names})


def check_sizes(config: TextSamConfig, clip: Clip) -> None:
    """Refuses a CLIP whose text tower is not that of a config.

    Raises:
        ValueError: It is not.
    """
    expected = text_sizes(clip.config)
    other = [name for name, size in expected.items() if getattr(config, name) != size]
    if other or config.words:
        shown = ", ".join(f"{name}={expected[name]}" for name in other)
        raise ValueError(
            f"the text tower of the config's model is not that of CLIP: set {shown or 'no words'}"
            " (samjax.training.text.initial.with_text makes the config)"
        )


def add_text_tower(
    params: Params, clip_params: Params, config: TextSamConfig, seed: int
) -> dict[str, Any]:
    """Returns a SAM's parameters with CLIP's text tower and a random projection.

    Args:
        params: Parameters of the SAM.
        clip_params: Those of CLIP.
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
    return {**params, TEXT_ENCODER: {name: clip_params[name] for name in TEXT_TOWER}}
