"""Chooses masks among all visible wholes, parts and subparts of a scene.

Owners number the leaves so that an instance, a part and a subpart are each a range of
numbers. One count of the pixels per number therefore gives every candidate's visible
area, and a chosen mask is two comparisons.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, PRNGKeyArray

from samjax.data.synthetic.config import SceneConfig
from samjax.data.synthetic.objects import LEAVES
from samjax.data.synthetic.parts import MAX_PARTS, MAX_SUBPARTS
from samjax.data.synthetic.raster import IDS_PER_THING

WHOLE, PART, SUBPART = range(3)
# A part that is nearly all of what it belongs to says nothing that the whole does not.
_MAX_SHARE = 0.92


class Chosen(NamedTuple):
    """Masks chosen from a scene, valid ones first.

    Attributes:
        masks: What is visible of each.
        valid: Whether the mask is there.
        level: 0 whole, 1 part, 2 part of a part.
        parent: Index among these masks of the smallest that holds this one, else -1.
    """

    masks: Bool[Array, "k h w"]
    valid: Bool[Array, " k"]
    level: Int[Array, " k"]
    parent: Int[Array, " k"]


def choose_masks(
    owner: Int[Array, "h w"], key: PRNGKeyArray, config: SceneConfig
) -> Chosen:
    """Draws up to `num_masks` valid candidates, each with the same chance."""
    starts, widths, levels, valid = _candidates(owner, config)
    # The largest of log weight + Gumbel noise are a draw without replacement.
    scores = jnp.where(valid, jax.random.gumbel(key, valid.shape), -jnp.inf)
    scores, index = jax.lax.top_k(scores, config.num_masks)
    valid = scores > -jnp.inf
    start, width = starts[index], widths[index]
    above = owner[None] >= start[:, None, None]
    masks = above & (owner[None] < (start + width)[:, None, None])
    masks &= valid[:, None, None]
    holds = (start[None] >= start[:, None]) & (
        (start + width)[None] <= (start + width)[:, None]
    )
    holds &= (width[:, None] > width[None]) & valid[:, None] & valid[None]
    # Of the masks that hold one, the narrowest is its parent.
    rank = jnp.where(holds, -width[:, None], -LEAVES * LEAVES)
    parent = jnp.where(holds.any(0), rank.argmax(0), -1)
    return Chosen(masks, valid, jnp.where(valid, levels[index], 0), parent)


def _candidates(owner, config):
    """All ranges of owners that may be masks: start, width, level and validity."""
    instances = (config.num_objects + 1) * IDS_PER_THING // LEAVES
    pixels = config.size**2
    counts = jnp.zeros(instances * LEAVES, jnp.int32).at[owner.reshape(-1)].add(1)
    subs = counts.reshape(instances, MAX_PARTS, MAX_SUBPARTS)
    parts = subs.sum(2)
    wholes = parts.sum(1)

    def seen(area):
        share = area / pixels
        return (share >= config.min_area) & (share <= config.max_area) & (area > 0)

    # The first instances stand for the ground, whose regions are its parts.
    is_ground = jnp.arange(instances) < IDS_PER_THING // LEAVES
    whole_valid = seen(wholes) & ~is_ground
    part_valid = seen(parts) & jnp.where(
        is_ground[:, None], config.stuff, parts < _MAX_SHARE * wholes[:, None]
    )
    sub_valid = seen(subs) & ~is_ground[:, None, None]
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
