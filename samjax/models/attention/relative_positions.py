"""Attention over a grid of tokens with decomposed relative positions.

The logit of query q and key k is

    scale * q . k + q . rows[q_y, k_y] + q . columns[q_x, k_x]

where `scale` is head_dim ** -0.5 and the relative terms use the *unscaled* query
(MViTv2, as in the release). Over the 64 x 64 grid of a global block the logits of all
heads are 4096 x 4096 each: they are never materialized as a whole. Blocks of queries
are processed in sequence, so that the logits of a block stay in a CPU's cache, or in a
small part of a GPU's memory; the backward pass recomputes them. On a TPU a kernel keeps
them in on-chip memory (`samjax.models.attention.splash`).
"""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from samjax.models.attention.splash import attend_by_splash

AttentionKind = Literal["auto", "blocks", "splash"]

# Up to this many tokens all logits are built at once: a window, or a small image.
_WHOLE_LIMIT = 1024
# Logits of one group of windows: 2 MiB of float32. One ViT-B window is 1.8 MiB; taking
# the 25 windows one at a time halves the time of all at once.
_CACHED_LOGITS = 2**19
# 256 queries against 4096 keys are 4 MiB of float32 logits, which fits a core's cache:
# measured on a CPU at ViT-B's shape 64, 256 and 1024 take 0.33, 0.24 and 0.30 s.
_QUERY_BLOCK = 256


def attend_with_relative_positions(
    query: Float[Array, "b n s d"],
    key: Float[Array, "b n s d"],
    value: Float[Array, "b n s d"],
    rows: Float[Array, "h h d"],
    columns: Float[Array, "w w d"],
    kind: AttentionKind = "auto",
) -> Float[Array, "b n s d"]:
    """Attends over a grid of s = h * w tokens, in row-major order.

    The TPU kernel is partitioned by hand over the mesh: under `jax.jit` of arrays on
    many devices, set the mesh (`jax.set_mesh`).

    Args:
        query: Unscaled queries of `b` grids and `n` heads.
        key: Keys.
        value: Values.
        rows: Relative embedding of every (query row, key row), shared by the heads.
        columns: The same for columns.
        kind: Implementation for large grids; windows and small grids have a single
            one. `"blocks"` loops over blocks of queries; `"splash"` also lowers the TPU
            kernel, which runs where the platform is a TPU; `"auto"` does so if the
            devices of the mesh, or JAX's default ones, are TPUs.

    Returns:
        The attended values in the dtype of `value`; softmax is taken in float32.
    """
    batch, heads, tokens, head_dim = query.shape
    height, width = rows.shape[0], columns.shape[0]
    grid_query = query.reshape(batch, heads, height, width, head_dim)
    row_term = jnp.einsum(
        "bnhwd,hkd->bnhwk", grid_query, rows, preferred_element_type=jnp.float32
    ).reshape(batch, heads, tokens, height)
    column_term = jnp.einsum(
        "bnhwd,wkd->bnhwk", grid_query, columns, preferred_element_type=jnp.float32
    ).reshape(batch, heads, tokens, width)

    query = query * head_dim**-0.5
    operands = (query, key, value, row_term, column_term)
    if tokens <= _WHOLE_LIMIT or tokens % _QUERY_BLOCK:
        return jax.lax.platform_dependent(
            *operands, cpu=_attend_by_group, default=_attend
        )
    implementations = {"cpu": _attend_by_head_and_block, "default": _attend_by_block}
    # Elsewhere the kernel is not traced at all, which saves tracing time.
    if kind == "splash" or (kind == "auto" and _is_for_tpu()):
        implementations["tpu"] = attend_by_splash
    return jax.lax.platform_dependent(*operands, **implementations)


def _is_for_tpu() -> bool:
    """Returns whether the devices of the mesh, or else JAX's default ones, are TPUs."""
    device = jax.sharding.get_abstract_mesh().abstract_device
    return (device.platform if device else jax.default_backend()) == "tpu"


def _attend(query, key, value, row_term, column_term):
    """Computes one softmax over all keys, for any leading axes."""
    logits = jnp.einsum(
        "...qd,...kd->...qk", query, key, preferred_element_type=jnp.float32
    )
    by_grid = (*logits.shape[:-1], row_term.shape[-1], column_term.shape[-1])
    logits = logits.reshape(by_grid)
    logits = logits + row_term[..., :, None] + column_term[..., None, :]
    logits = logits.reshape(*by_grid[:-2], -1)
    # Dividing the short sums instead of the long rows saves a pass over the logits.
    weights = jnp.exp(logits - jax.lax.stop_gradient(logits.max(-1, keepdims=True)))
    total = weights.sum(-1, keepdims=True)
    attended = jnp.einsum(
        "...qk,...kd->...qd",
        weights.astype(value.dtype),
        value,
        preferred_element_type=jnp.float32,
    )
    return (attended / total).astype(value.dtype)


def _attend_by_group(query, key, value, row_term, column_term):
    """Loops over groups of windows, each small enough for a CPU's cache."""
    batch, heads, tokens, _ = query.shape
    group = max(1, _CACHED_LOGITS // (heads * tokens * tokens))
    operands = (query, key, value, row_term, column_term)
    if group >= batch:
        return _attend(*operands)
    return jax.lax.map(lambda window: _attend(*window), operands, batch_size=group)


def _attend_by_block(query, key, value, row_term, column_term):
    """Loops over blocks of queries, all heads at once."""

    def attend_block(block):
        block_query, block_rows, block_columns = block
        return _attend(block_query, key, value, block_rows, block_columns)

    def split(x):
        return jnp.moveaxis(
            x.reshape(*x.shape[:2], -1, _QUERY_BLOCK, x.shape[-1]), 2, 0
        )

    blocks = (split(query), split(row_term), split(column_term))
    attended = jax.lax.map(jax.checkpoint(attend_block), blocks)
    return jnp.moveaxis(attended, 0, 2).reshape(query.shape)


def _attend_by_head_and_block(query, key, value, row_term, column_term):
    """Loops over heads and blocks of queries, so that the working set fits a cache."""

    def flatten(x):
        return x.reshape(-1, *x.shape[2:])

    def attend_head(head):
        head_query, head_key, head_value, head_rows, head_columns = head

        def attend_block(block):
            return _attend(block[0], head_key, head_value, block[1], block[2])

        def split(x):
            return x.reshape(-1, _QUERY_BLOCK, x.shape[-1])

        blocks = (split(head_query), split(head_rows), split(head_columns))
        attended = jax.lax.map(jax.checkpoint(attend_block), blocks)
        return attended.reshape(head_query.shape)

    heads = tuple(map(flatten, (query, key, value, row_term, column_term)))
    return jax.lax.map(attend_head, heads).reshape(query.shape)
