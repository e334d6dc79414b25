"""The blocks of an encoder as loops over equal stages, so that one stage is compiled.

The released encoders are four equal stages, each some windowed blocks and then a global
one. A compiler that is given every block compiles every block; given two nested loops
it compiles a windowed block and a global one. Parameters keep their names and places:
those of equal blocks are stacked inside the traced function, and gradients go back
through the stack.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from samjax.models.attention.splash import ATTENDED

# What is recomputed of a block: all but the kernel's work, which is a small part of its
# memory and a large one of its time.
RECOMPUTED = jax.checkpoint_policies.save_only_these_names(ATTENDED)


def blocks_per_stage(depth: int, global_blocks: Sequence[int]) -> int:
    """Returns the length of equal stages of windowed blocks and then a global one.

    Raises:
        ValueError: The blocks are no such stages.
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
        params: Of every block.
        windowed: A block with windows, bound to nothing.
        whole: A block with global attention, bound to nothing.
        drop_path_rates: Of every block.
        key: Randomness of drop path; None turns it off.
        remat: Recompute each block in the backward pass instead of keeping it.
        length: Blocks of a stage, from `blocks_per_stage`.

    Returns:
        The tokens after the last block.
    """

    def run(block: nn.Module):
        def step(x, inputs):
            block_params, rate, block_key = inputs
            here = block.clone(drop_path_rate=rate)
            rngs = None if block_key is None else {"drop_path": block_key}
            y = here.apply({"params": block_params}, x, block_key is None, rngs=rngs)
            return y, None

        if not remat:
            return step
        # In a loop the compiler cannot merge what is computed again with the original.
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
