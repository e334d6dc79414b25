"""Masks drawn on the device from the places where they change (`samjax.data.runs`).

A pixel is in a mask if an odd number of boundaries lies up to it.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int32


def decode_runs(
    runs: Int32[Array, "*batch k l"], sizes: Int32[Array, "*batch 2"], side: int
) -> Bool[Array, "*batch k {side} {side}"]:
    """Draws masks from their boundaries, on the device.

    Args:
        runs: rows of `pack_boundaries`.
        sizes: h, w of the part of each image that is not padding; masks are False in
            the padding.
        side: of the frame, in pixels.
    """
    pixel = jnp.arange(side)

    def draw(places, size):
        # Parity is all that counts, and wrapping around keeps it.
        changes = jnp.zeros(side * side, jnp.int8).at[places].add(1, mode="drop")
        within = jnp.cumsum(changes.reshape(side, side), axis=1, dtype=jnp.int8)
        before = jnp.cumsum(within[:, -1], dtype=jnp.int8) - within[:, -1]
        inside = (pixel[:, None] < size[1]) & (pixel[None, :] < size[0])
        return ((((within + before[:, None]) & 1) == 1) & inside).T

    draw_all = jax.vmap(draw, in_axes=(0, None))
    for _ in runs.shape[:-2]:
        draw_all = jax.vmap(draw_all)
    return draw_all(runs, sizes)
