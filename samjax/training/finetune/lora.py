"""LoRA: low-rank adapters, trained in place of whole matrices.

An adapted kernel W is replaced by W + scale * A B, where A is (in, rank), B (rank, out)
and scale is alpha / rank (Hu et al., "LoRA: low-rank adaptation of large language
models", 2021). B starts at zero, so that training starts from the unchanged model. The
sum is computed inside the step, before `Sam.apply`: the model's code is independent of
it, and `merge_lora` of the trained tree is a plain model, which every other part of
samjax and every exporter takes.

Adapters are stored in the parameter tree under `ADAPTERS`, beside the model's own parts:

    lora/image_encoder/blocks_0/attn/qkv/kernel_q/{a, b}
    lora/mask_decoder/transformer/layers_0/mlp/lin1/kernel/{a, b}

The encoder's queries, keys and values are columns of one kernel; each has adapters of
its own, or none.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from samjax.models.params import (
    ADAPTERS,
    KERNEL,
    AdapterTarget,
    Params,
    adapted_columns,
    adapted_kernels,
    join,
)


@dataclass(frozen=True, kw_only=True)
class LoraConfig:
    """Adapted matrices, and rank and scale of their adapters.

    Attributes:
        rank: Rank of every adapter; 0 for no adapters at all.
        alpha: Numerator of the scale `alpha / rank` of A B; None for the rank itself, a
            scale of 1.
        encoder: Adapted matrices of every block of the image encoder: the projections to
            queries, keys and values, the output projection, both layers of the MLP.
            Queries and values are the usual choice.
        decoder: The same in every attention and MLP of the mask decoder's transformer.
    """

    rank: int = 0
    alpha: float | None = None
    encoder: tuple[AdapterTarget, ...] = ("q", "v")
    decoder: tuple[AdapterTarget, ...] = ()

    def __post_init__(self):
        if self.rank < 0:
            raise ValueError(f"lora.rank={self.rank}: use 1 or more, or 0 for none")
        if self.rank and not (self.encoder or self.decoder):
            raise ValueError(
                f"lora.rank={self.rank} with nothing to adapt: name targets for the "
                "encoder or the decoder, such as q and v"
            )

    @property
    def scale(self) -> float:
        """Factor on A B."""
        if not self.rank:
            return 0.0
        return (self.rank if self.alpha is None else self.alpha) / self.rank


def init_adapters(
    key: PRNGKeyArray, params: Params, config: LoraConfig
) -> dict[str, Any]:
    """Draws initial adapters, with which the model computes the same as without.

    A is normal with a variance of one over its inputs, B is zero.

    Args:
        key: Random key of A.
        params: The model's parameters, or their shapes.
        config: The adapters.

    Returns:
        The tree to store under `ADAPTERS`.

    Raises:
        ValueError: The model has none of the matrices, or one is smaller than the rank.
    """
    adapters: dict[str, Any] = {}
    kernels = adapted_kernels(params, config.encoder, config.decoder)
    for number, part in enumerate(kernels if config.rank else ()):
        inputs, outputs = part.shape
        if config.rank > min(part.shape):
            raise ValueError(
                f"lora.rank={config.rank} is more than the sides {part.shape} of "
                f"{join(part.path)}: use less"
            )
        a = jax.random.normal(
            jax.random.fold_in(key, number), (inputs, config.rank), jnp.float32
        )
        place = adapters
        for name in part.path[:-1]:
            place = place.setdefault(name, {})
        place[part.name] = {
            "a": a * inputs**-0.5,
            "b": jnp.zeros((config.rank, outputs), jnp.float32),
        }
    if config.rank and not adapters:
        raise ValueError(f"got a model without any matrix that {config} names")
    return adapters


def add_lora(key: PRNGKeyArray, params: Params, config: LoraConfig) -> Params:
    """Adds initial adapters to a parameter tree; returns it unchanged for rank 0."""
    if not config.rank:
        return params
    return {**params, ADAPTERS: init_adapters(key, params, config)}


def apply_lora(params: Params, adapters: Params, config: LoraConfig) -> dict[str, Any]:
    """Adds A B to every adapted matrix.

    Args:
        params: The model's parameters, without adapters.
        adapters: As from `init_adapters`, trained or not.
        config: Config of the adapters, of which only the scale is read.

    Returns:
        Parameters of the model; matrices without an adapter are the same arrays.
    """
    adapted = dict(params)
    for name, value in adapters.items():
        if adapted_columns(name, 0) is None:
            adapted[name] = apply_lora(params[name], value, config)
        else:
            adapted[KERNEL] = _add(adapted[KERNEL], name, value, config.scale)
    return adapted


def merge_lora(params: Params, config: LoraConfig) -> Params:
    """Returns the model's parameters with the adapters of a tree merged in.

    A step applies the model to these, and a finished run saves them. A tree without
    adapters is returned unchanged.
    """
    if ADAPTERS not in params:
        return params
    plain = {name: value for name, value in params.items() if name != ADAPTERS}
    return apply_lora(plain, params[ADAPTERS], config)


def _add(
    kernel: Float[Array, "i o"], name: str, adapter: Params, scale: float
) -> Float[Array, "i o"]:
    # At the highest precision: merged weights are then those of training, on any device.
    change = scale * jnp.matmul(adapter["a"], adapter["b"], precision="highest")
    if name == KERNEL:
        return kernel + change
    start = adapted_columns(name, change.shape[1]) or 0
    return kernel.at[:, start : start + change.shape[1]].add(change)
