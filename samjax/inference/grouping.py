"""Compiled decoding of many prompts in groups, each small enough for a CPU's caches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

PROMPTS_ON_CPU = 1
PARALLEL_ON_CPU = 4
"""Groups on a CPU: the pixels of one prompt fit the caches of a core, and four
independent groups in one loop iteration keep two cores busy, which sharing every
operation between them does not."""


def map_groups(
    function: Callable[[Any], Any],
    rows: Any,
    num_valid: Int[Array, ""],
    *,
    size: int,
    num_parallel: int,
) -> Any:
    """Applies a function to groups of rows, several groups in each loop iteration.

    Args:
        function: Takes a group of rows, a tree of arrays "size ...", and returns a tree
            of arrays "size ..."; rows do not depend on each other.
        rows: A tree of arrays "n ...".
        num_valid: Number of valid rows; those after them are padding, and iterations of
            padding alone are skipped.
        size: Rows of a group.
        num_parallel: Groups of a loop iteration.

    Returns:
        A tree of arrays "m ...", m >= n: the results of the rows in their order, zeros
        where an iteration was skipped.
    """
    (count,) = {len(leaf) for leaf in jax.tree.leaves(rows)}
    per_round = size * num_parallel
    rounds = -(-count // per_round)
    shape = rounds, num_parallel, size
    missing = rounds * per_round - count

    def divide(leaf):
        padding = ((0, missing), *((0, 0),) * (leaf.ndim - 1))
        return jnp.pad(leaf, padding).reshape(*shape, *leaf.shape[1:])

    divided = jax.tree.map(divide, rows)
    of_group = jax.eval_shape(function, jax.tree.map(lambda leaf: leaf[0, 0], divided))
    outputs = jax.tree.map(
        lambda leaf: jnp.zeros((*shape, *leaf.shape[1:]), leaf.dtype), of_group
    )

    def run_round(index, outputs):
        groups = [
            function(jax.tree.map(lambda leaf, at=at: leaf[index, at], divided))
            for at in range(num_parallel)
        ]
        stacked = jax.tree.map(lambda *parts: jnp.stack(parts), *groups)
        return jax.tree.map(lambda all_, new: all_.at[index].set(new), outputs, stacked)

    needed = -(-num_valid // per_round)
    outputs = jax.lax.fori_loop(0, needed, run_round, outputs)
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[3:]), outputs)
