"""Decoding of run boundaries (`samjax.data.runs`) to dense masks, on the device.

A pixel is in a mask if an odd number of boundaries lies at or before it.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int32


def decode_runs(
    runs: Int32[Array, "*batch k l"], sizes: Int32[Array, "*batch 2"], side: int
) -> Bool[Array, "*batch k {side} {side}"]:
    """Returns the dense masks of run boundaries.

    Args:
        runs: Rows written by `samjax.data.runs.pack_boundaries`.
        sizes: h, w of the part of each image that is not padding; masks are False in
            the padding.
        side: Side of the frame in pixels.
    """
    pixel = jnp.arange(side)

    def draw(positions, size):
        # int8 may overflow in the sums: only parity is used, and wrapping keeps it.
        # Padding positions, side * side, are out of range and dropped.
        changes = jnp.zeros(side * side, jnp.int8).at[positions].add(1, mode="drop")
        # Two short sums, within columns and over them, in place of one over all pixels.
        within = jnp.cumsum(changes.reshape(side, side), axis=1, dtype=jnp.int8)
        before = jnp.cumsum(within[:, -1], dtype=jnp.int8) - within[:, -1]
        inside = (pixel[:, None] < size[1]) & (pixel[None, :] < size[0])
        return ((((within + before[:, None]) & 1) == 1) & inside).T

    draw_all = jax.vmap(draw, in_axes=(0, None))
    for _ in runs.shape[:-2]:
        draw_all = jax.vmap(draw_all)
    return draw_all(runs, sizes)
