"""Encoder blocks as scans over equal stages, so that only one stage is compiled.

The released encoders are four equal stages, each of windowed blocks and then a global
one. Unrolled, every block is compiled; as two nested scans, one windowed block and one
global block are. The parameter tree does not change: parameters of equal blocks are
stacked inside the traced function, and gradients flow back through the stack.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from samjax.models.attention.splash import ATTENDED

# Rematerialization recomputes all of a block but the attention kernel's output, which is
# a small part of the block's memory and a large part of its time.
RECOMPUTED = jax.checkpoint_policies.save_only_these_names(ATTENDED)


def blocks_per_stage(depth: int, global_blocks: Sequence[int]) -> int:
    """Returns the length of equal stages of windowed blocks and then a global one.

    Raises:
        ValueError: The blocks do not form such stages.
    """
    length, left = divmod(depth, max(len(global_blocks), 1))
    expected = tuple(range(length - 1, depth, max(length, 1)))
    if left or length < 2 or tuple(global_blocks) != expected:
        raise ValueError(
            f"Got {depth} blocks of which {tuple(global_blocks)} are global, expected "
            "equal stages of windowed blocks that each end with a global one: turn "
            "`scan` off."
        )
    return length


def run_in_stages(
    x: Float[Array, "b h w c"],
    params: Sequence[Mapping[str, Any]],
    windowed: nn.Module,
    whole: nn.Module,
    *,
    drop_path_rates: Sequence[float],
    key: PRNGKeyArray | None,
    remat: bool,
    length: int,
) -> Float[Array, "b h w c"]:
    """Runs blocks in order.

    Args:
        x: Tokens.
        params: Parameters of every block.
        windowed: A block with windows, unbound.
        whole: A block with global attention, unbound.
        drop_path_rates: Drop path rate of every block.
        key: Random key of drop path; None turns it off.
        remat: Recompute each block in the backward pass instead of keeping it.
        length: Blocks of a stage, from `blocks_per_stage`.

    Returns:
        The tokens after the last block.
    """

    def run(block: nn.Module):
        def step(x, inputs):
            block_params, rate, block_key = inputs
            block_at_rate = block.clone(drop_path_rate=rate)
            rngs = None if block_key is None else {"drop_path": block_key}
            y = block_at_rate.apply(
                {"params": block_params}, x, block_key is None, rngs=rngs
            )
            return y, None

        if not remat:
            return step
        # Inside a scan the compiler cannot merge the recomputation with the original, so
        # that the barriers against it are not needed.
        return jax.checkpoint(step, prevent_cse=False, policy=RECOMPUTED)

    def run_stage(x, inputs):
        before, last = inputs
        x, _ = jax.lax.scan(run(windowed), x, before)
        return run(whole)(cast(Array, x), last)

    rates = jnp.asarray(drop_path_rates)
    keys = None if key is None else jax.random.split(key, len(params))
    blocks = [(params[i], *_of(i, (rates, keys))) for i in range(len(params))]
    stages = [blocks[i : i + length] for i in range(0, len(blocks), length)]
    before = _stacked([_stacked(stage[:-1]) for stage in stages])
    last = _stacked([stage[-1] for stage in stages])
    after, _ = jax.lax.scan(run_stage, x, (before, last))
    return cast(Array, after)


def _of(i: int, arrays: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf[i], arrays)


def _stacked(trees: Sequence[Any]) -> Any:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)
