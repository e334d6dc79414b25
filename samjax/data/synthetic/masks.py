"""Choice of masks among all visible wholes, parts and subparts of a scene.

Owner ids are assigned to leaves so that an instance, a part and a subpart are each a
range of ids. So one histogram of the owners gives the visible area of every candidate,
and a mask is computed with two comparisons.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, PRNGKeyArray

from samjax.data.synthetic.config import SceneConfig
from samjax.data.synthetic.objects import LEAVES
from samjax.data.synthetic.parts import MAX_PARTS, MAX_SUBPARTS
from samjax.data.synthetic.raster import IDS_PER_OBJECT

WHOLE, PART, SUBPART = range(3)
# Largest fraction of a whole that a part may cover: above, both are the same mask.
_MAX_SHARE = 0.92


class ChosenMasks(NamedTuple):
    """Masks chosen from a scene, valid ones first.

    Attributes:
        masks: The visible pixels of each mask.
        valid: False where the slot holds no mask.
        level: 0 whole, 1 part, 2 subpart.
        parent: Index among these masks of the smallest that contains this one, else -1.
    """

    masks: Bool[Array, "k h w"]
    valid: Bool[Array, " k"]
    level: Int[Array, " k"]
    parent: Int[Array, " k"]


def choose_masks(
    owner: Int[Array, "h w"], key: PRNGKeyArray, config: SceneConfig
) -> ChosenMasks:
    """Draws up to `num_masks` of the valid candidates, uniformly without replacement."""
    starts, widths, levels, valid = _candidates(owner, config)
    # Gumbel top-k: the largest of log weight + Gumbel noise are a draw without
    # replacement, in a fixed shape.
    scores = jnp.where(valid, jax.random.gumbel(key, valid.shape), -jnp.inf)
    scores, index = jax.lax.top_k(scores, config.num_masks)
    valid = scores > -jnp.inf
    start, width = starts[index], widths[index]
    above = owner[None] >= start[:, None, None]
    masks = above & (owner[None] < (start + width)[:, None, None])
    masks &= valid[:, None, None]
    contains = (start[None] >= start[:, None]) & (
        (start + width)[None] <= (start + width)[:, None]
    )
    contains &= (width[:, None] > width[None]) & valid[:, None] & valid[None]
    # The narrowest range that contains a mask's is its parent.
    rank = jnp.where(contains, -width[:, None], -LEAVES * LEAVES)
    parent = jnp.where(contains.any(0), rank.argmax(0), -1)
    return ChosenMasks(masks, valid, jnp.where(valid, levels[index], 0), parent)


def _candidates(owner, config):
    """Returns all ranges of owner ids that may be masks: start, width, level, validity."""
    instances = (config.num_objects + 1) * IDS_PER_OBJECT // LEAVES
    pixels = config.size**2
    counts = jnp.zeros(instances * LEAVES, jnp.int32).at[owner.reshape(-1)].add(1)
    subs = counts.reshape(instances, MAX_PARTS, MAX_SUBPARTS)
    parts = subs.sum(2)
    wholes = parts.sum(1)

    def is_in_bounds(area):
        fraction = area / pixels
        return (
            (fraction >= config.min_area) & (fraction <= config.max_area) & (area > 0)
        )

    # The ids of object 0 are those of the ground, whose regions are its parts.
    is_ground = jnp.arange(instances) < IDS_PER_OBJECT // LEAVES
    whole_valid = is_in_bounds(wholes) & ~is_ground
    part_valid = is_in_bounds(parts) & jnp.where(
        is_ground[:, None], config.stuff, parts < _MAX_SHARE * wholes[:, None]
    )
    sub_valid = is_in_bounds(subs) & ~is_ground[:, None, None]
    sub_valid &= subs < _MAX_SHARE * parts[:, :, None]
    part_level = jnp.where(is_ground[:, None], WHOLE, PART)
    part_level = jnp.broadcast_to(part_level, parts.shape)
    starts, widths = [], []
    for area, width in ((wholes, LEAVES), (parts, MAX_SUBPARTS), (subs, 1)):
        starts.append(jnp.arange(area.size) * width)
        widths.append(jnp.full(area.size, width))
    levels = (
        jnp.full(wholes.size, WHOLE),
        part_level.reshape(-1),
        jnp.full(subs.size, SUBPART),
    )
    valid = (whole_valid, part_valid.reshape(-1), sub_valid.reshape(-1))
    return tuple(jnp.concatenate(x) for x in (starts, widths, levels, valid))
