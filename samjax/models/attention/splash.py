"""Attention with relative positions by the flash attention kernel that JAX ships.

The relative terms of `samjax.models.attention.relative_positions` are exactly those of a plain attention
over longer vectors. With one-hot vectors of a key's row and column,

    q' = [q, row_term, column_term]    k' = [k, onehot(key row), onehot(key column)]
    q' . k' = q . k + row_term[key row] + column_term[key column],

so any flash attention computes them, and its gradients, without ever holding the
logits of all pairs of tokens. On TPUs this is JAX's Splash attention, which processes
the tokens of a head in tiles in on-chip memory.
"""

import functools
from typing import cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from samjax.models.attention.constraints import current_mesh, split_of

# A vector register of a TPU has 128 lanes: widths are multiples of it.
_LANES = 128
# Tokens of a tile, of queries and of keys.
_TILE = 512
# Name, for `jax.checkpoint`, of the residuals that the kernel's backward pass needs.
ATTENDED = "attended"
# Logit of a key that pads a tile: far below any other, so that its weight is exactly 0.
_NEVER = -1e9


def attend_by_splash(
    query: Float[Array, "b n s d"],
    key: Float[Array, "b n s d"],
    value: Float[Array, "b n s d"],
    row_term: Float[Array, "b n s h"],
    column_term: Float[Array, "b n s w"],
    *,
    interpret: bool = False,
) -> Float[Array, "b n s d"]:
    """Attends over a grid of s = h * w tokens, in row-major order.

    Under a mesh (`jax.set_mesh`) every device attends within its own part of the
    batch, and of the heads where the mesh has the axis `tensor`; a mesh axis whose
    size does not divide them computes the same on all its devices.

    Args:
        query: Scaled queries.
        key: Keys.
        value: Values.
        row_term: Relative term of a query for each row of keys.
        column_term: The same for columns.
        interpret: Emulates the kernel, for tests without a TPU.

    Returns:
        The attended values in the dtype of `value`. The terms are rounded to the dtype
        of `query` first; logits and softmax are float32.
    """
    attend = functools.partial(_attend, interpret=interpret)
    operands = (query, key, value, row_term, column_term)
    mesh = current_mesh()
    if mesh is None:
        return attend(*operands)
    batch, heads = query.shape[:2]
    spec = split_of(batch, heads, mesh)
    # The kernel does not annotate which outputs vary over mesh axes, so the check is off.
    split = jax.shard_map(
        attend, in_specs=(spec,) * len(operands), out_specs=spec, check_vma=False
    )
    return split(*operands)


def padded_width(head_dim: int, height: int, width: int) -> int:
    """Returns the lanes of the longer vectors: 256 for 64 x 64 tokens and heads of 64."""
    # One more lane for the logit of keys that pad a tile.
    return -(-(head_dim + height + width + 1) // _LANES) * _LANES


def lengthened(
    query: Float[Array, "b n s d"],
    key: Float[Array, "b n s d"],
    row_term: Float[Array, "b n s h"],
    column_term: Float[Array, "b n s w"],
    lanes: int,
    tokens: int,
) -> tuple[Float[Array, "b n t l"], Float[Array, "b n t l"]]:
    """Extends queries and keys so that their products include the relative terms.

    Args:
        query: Scaled queries.
        key: Keys.
        row_term: Relative term of a query for each row of keys.
        column_term: The same for columns.
        lanes: Length of the extended vectors, padded with zeros.
        tokens: Tokens of the result; those added have attention weights of zero.
    """
    index, dtype = jnp.arange(tokens), query.dtype
    given, width = query.shape[2], column_term.shape[-1]
    positions = [
        jax.nn.one_hot(index // width, row_term.shape[-1], dtype=dtype),
        jax.nn.one_hot(index % width, width, dtype=dtype),
    ]
    terms = [row_term.astype(dtype), column_term.astype(dtype)]
    used = query.shape[-1] + row_term.shape[-1] + width
    if tokens > given:
        positions.append(jnp.where(index < given, 0.0, _NEVER).astype(dtype)[:, None])
        terms.append(jnp.ones((*query.shape[:3], 1), dtype))
        used += 1
    # One concatenation each, zeros included: a single pass over the long arrays.
    filling = [jnp.zeros((*query.shape[:2], tokens, lanes - used), dtype)]
    positions = [jnp.broadcast_to(x, (*key.shape[:2], *x.shape)) for x in positions]
    query = jnp.concatenate([query, *terms, filling[0][:, :, :given]], axis=-1)
    key = jnp.concatenate([_with_tokens(key, tokens), *positions, *filling], axis=-1)
    return _with_tokens(query, tokens), key


def _attend(query, key, value, row_term, column_term, *, interpret):
    """Attends within the shard of one device."""
    given = query.shape[2]
    unit = _LANES if given <= _TILE else _TILE
    tokens = -(-given // unit) * unit
    lanes = padded_width(query.shape[-1], row_term.shape[-1], column_term.shape[-1])
    query, key = lengthened(query, key, row_term, column_term, lanes, tokens)
    kernel = _kernel(query.shape[1], tokens, interpret)
    attended = jax.vmap(kernel)(query, key, _with_tokens(value, tokens))
    return cast(jax.Array, attended)[:, :, :given]


def _with_tokens(x: Float[Array, "b n s d"], tokens: int) -> Float[Array, "b n t d"]:
    return jnp.pad(x, ((0, 0), (0, 0), (0, tokens - x.shape[2]), (0, 0)))


def _kernel(heads: int, tokens: int, interpret: bool):
    from jax.experimental.pallas.ops.tpu import splash_attention as splash

    tile = min(tokens, _TILE)
    return splash.make_splash_mha_single_device(
        splash.MultiHeadMask([splash.FullMask((tokens, tokens))] * heads),
        block_sizes=splash.BlockSizes(
            block_q=tile,
            block_kv=tile,
            block_q_dkv=tile,
            block_kv_dkv=tile,
            block_q_dq=tile,
            block_kv_dq=tile,
        ),
        residual_checkpoint_name=ATTENDED,
        interpret=interpret,
    )
