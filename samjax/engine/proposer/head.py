"""A heat map of where to prompt, from the image embedding.

One token of the embedding does not know the extent of an object, so that the head has
convolutions with reach; its map has twice the embedding's resolution, since small objects
share a token. The embedding itself is never flipped or turned: its channels know
directions.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

FINER = 2
"""Cells of the heat map along a side of a token of the embedding."""

# Few cells are centres: an untrained head that called each a centre by half would spend
# its first steps on forgetting that.
_PRIOR = -4.0
_DILATIONS = (1, 2, 4)


class PromptHead(nn.Module):
    """Logits of the heat map.

    Attributes:
        channels: Channels of the hidden layers.
        dropout: Fraction of the embedding's channels that training drops.
    """

    channels: int = 96
    dropout: float = 0.1

    @nn.compact
    def __call__(
        self, features: Float[Array, "b gh gw c"], *, train: bool = False
    ) -> Float[Array, "b h w"]:
        x = nn.LayerNorm(use_fast_variance=False, name="norm_in")(features)
        # The same channels in all tokens of an image.
        x = nn.Dropout(self.dropout, broadcast_dims=(1, 2), deterministic=not train)(x)
        x = nn.Dense(self.channels, name="proj_in")(x)
        for index, dilation in enumerate(_DILATIONS):
            y = nn.LayerNorm(use_fast_variance=False, name=f"norm_{index}")(x)
            y = nn.Conv(
                self.channels,
                (3, 3),
                kernel_dilation=(dilation, dilation),
                name=f"conv_{index}",
            )(jax.nn.gelu(y))
            x = x + y
        x = jax.nn.gelu(nn.LayerNorm(use_fast_variance=False, name="norm_out")(x))
        x = nn.Dense(
            FINER**2, bias_init=nn.initializers.constant(_PRIOR), name="proj_out"
        )(x)
        batch, height, width, _ = x.shape
        x = x.reshape(batch, height, width, FINER, FINER).transpose(0, 1, 3, 2, 4)
        return x.reshape(batch, height * FINER, width * FINER)


@functools.partial(jax.jit, static_argnames="head")
def heat_map(
    params: Mapping[str, Any], features: Float[Array, "gh gw c"], *, head: PromptHead
) -> Float[Array, "h w"]:
    """Returns the probability of each cell to be the centre of an object."""
    logits = head.apply({"params": params}, features[None])
    return jax.nn.sigmoid(cast(Array, logits)[0])


def focal_loss(
    logits: Float[Array, "b h w"],
    heat: Float[Array, "b h w"],
    weights: Float[Array, "b h w"],
) -> Float[Array, ""]:
    """Returns the focal loss of centre points (Zhou et al., 2019, equation 1).

    Args:
        logits: Logits of the heat map.
        heat: Targets: 1 at centres, and less around them, where errors cost less.
        weights: Weights of the cells.
    """
    is_centre = heat >= 1.0
    probability = jax.nn.sigmoid(logits)
    of_centre = (1 - probability) ** 2 * jax.nn.log_sigmoid(logits)
    of_other = (1 - heat) ** 4 * probability**2 * jax.nn.log_sigmoid(-logits)
    total = jnp.where(is_centre, of_centre, of_other) * weights
    return -total.sum() / jnp.maximum((is_centre * weights).sum(), 1.0)
