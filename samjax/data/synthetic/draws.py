"""Random choices that consume a single row of uniforms.

A scene makes hundreds of small choices. A call of the random generator for each would
cost more than the pixels, so a scene draws one array of uniforms and each choice
consumes the next few of it. The positions are fixed while tracing.
"""

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

Sampled = TypeVar("Sampled")


class Draws:
    """A row of uniforms in [0, 1), each used once, in order.

    Attributes:
        row: The uniforms.
        used: Number of uniforms that have been used.
    """

    def __init__(self, row: Float[Array, " n"]):
        self.row = row
        self.used = 0

    def uniform(self, *shape: int) -> Float[Array, "..."]:
        """Returns uniforms in [0, 1) of a shape.

        Raises:
            IndexError: The row is exhausted: draw a longer one.
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
        """Calls `sample` `count` times, each with `width` uniforms of its own.

        Traced once (`vmap`); results are stacked along a new first axis.
        """
        rows = self.uniform(count, width)
        return jax.vmap(lambda row: sample(Draws(row)))(rows)

    def between(self, low: float, high: float, *shape: int) -> Float[Array, "..."]:
        """Returns uniforms in [low, high)."""
        return low + (high - low) * self.uniform(*shape)

    def log_between(self, low: float, high: float, *shape: int) -> Float[Array, "..."]:
        """Returns numbers whose logarithm is uniform in [log low, log high)."""
        return jnp.exp(self.between(math.log(low), math.log(high), *shape))

    def angle(self, *shape: int) -> Float[Array, "..."]:
        """Returns angles in [0, 2 pi)."""
        return self.between(0.0, 2 * math.pi, *shape)

    def chance(self, probability: float, *shape: int) -> Bool[Array, "..."]:
        """Returns True with a probability."""
        return self.uniform(*shape) < probability

    def pick(self, weights: Sequence[float], *shape: int) -> Int[Array, "..."]:
        """Returns an index with probability proportional to its weight."""
        total = sum(weights)
        index = jnp.zeros(shape, jnp.int32)
        value = self.uniform(*shape) * total
        edge = 0.0
        for weight in weights[:-1]:
            edge += weight
            index = index + (value >= edge)
        return index
