"""Random choices read from one row of uniforms.

A scene makes hundreds of small choices. One call of the generator per choice would cost
more than the pixels, so a scene draws one array of uniforms and each choice reads the
next few of it. Where a choice reads is settled while tracing.
"""

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

Sampled = TypeVar("Sampled")


class Draws:
    """Hands out the entries of a row of uniforms in [0, 1), each once.

    Attributes:
        row: The uniforms.
        used: How many were handed out.
    """

    def __init__(self, row: Float[Array, " n"]):
        self.row = row
        self.used = 0

    def uniform(self, *shape: int) -> Float[Array, "..."]:
        """Gives uniforms in [0, 1) of a shape.

        Raises:
            IndexError: The row is used up: make it longer where it is drawn.
        """
        count = math.prod(shape)
        end = self.used + count
        if end > self.row.shape[0]:
            raise IndexError(
                f"{end} draws wanted of a row of {self.row.shape[0]}: draw a longer row"
            )
        taken = self.row[self.used : end].reshape(shape)
        self.used = end
        return taken

    def each(
        self, count: int, width: int, sample: Callable[["Draws"], Sampled]
    ) -> Sampled:
        """Samples `count` times alike, each from `width` uniforms of its own.

        Traced once however large the count is; results are stacked along a first axis.
        """
        rows = self.uniform(count, width)
        return jax.vmap(lambda row: sample(Draws(row)))(rows)

    def between(self, low: float, high: float, *shape: int) -> Float[Array, "..."]:
        """Gives uniforms in [low, high)."""
        return low + (high - low) * self.uniform(*shape)

    def log_between(self, low: float, high: float, *shape: int) -> Float[Array, "..."]:
        """Gives numbers whose logarithm is uniform in [log low, log high)."""
        return jnp.exp(self.between(math.log(low), math.log(high), *shape))

    def angle(self, *shape: int) -> Float[Array, "..."]:
        """Gives angles in [0, 2 pi)."""
        return self.between(0.0, 2 * math.pi, *shape)

    def chance(self, probability: float, *shape: int) -> Bool[Array, "..."]:
        """Gives True with a probability."""
        return self.uniform(*shape) < probability

    def pick(self, weights: Sequence[float], *shape: int) -> Int[Array, "..."]:
        """Gives an index with probability proportional to its weight."""
        total = sum(weights)
        index = jnp.zeros(shape, jnp.int32)
        value = self.uniform(*shape) * total
        edge = 0.0
        for weight in weights[:-1]:
            edge += weight
            index = index + (value >= edge)
        return index
