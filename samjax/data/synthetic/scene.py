"""Procedural scenes: an image and its masks as a pure function of a key.

    key -> noise planes, palette, ground, objects       (a few thousand random numbers)
        -> owner of each pixel, far to near             (`raster`: outlines and shadows)
        -> linear light                                 (`lighting`: one pass)
        -> image                                        (`camera`)
        -> masks                                        (`masks`: ranges of owner ids)

Lengths are fractions of the image's side, so a key gives the same scene at every size.
"""

from functools import partial
from typing import NamedTuple

import jax
from jaxtyping import Array, Bool, Float, Int, Key, PRNGKeyArray

from samjax.data.synthetic.camera import develop, photograph
from samjax.data.synthetic.config import SceneConfig
from samjax.data.synthetic.draws import Draws
from samjax.data.synthetic.lighting import sample_light, shade
from samjax.data.synthetic.masks import choose_masks
from samjax.data.synthetic.materials import sample_palette
from samjax.data.synthetic.noise import noise_planes
from samjax.data.synthetic.objects import sample_ground, sample_objects
from samjax.data.synthetic.raster import paint
from samjax.data.synthetic.surfaces import surface_table

_DRAWS = 2048  # upper bound of the uniforms of a scene beside those of its objects


class Scene(NamedTuple):
    """A drawn scene.

    Attributes:
        image: RGB, whole numbers from 0 to 255.
        masks: The visible pixels of each mask; all False where not valid.
        valid: False where the slot holds no mask; valid masks come first.
        level: 0 whole, 1 part, 2 subpart.
        parent: Index of the mask that this one is a part of, -1 for none.
    """

    image: Float[Array, "h w 3"]
    masks: Bool[Array, "k h w"]
    valid: Bool[Array, " k"]
    level: Int[Array, " k"]
    parent: Int[Array, " k"]


@partial(jax.jit, static_argnames="config")
def draw_scene(key: PRNGKeyArray, config: SceneConfig) -> Scene:
    """Draws a scene.

    Compiled once per config. For many scenes use `jax.lax.map` over keys on a CPU,
    where branches (such as an outline's family) skip work; `jax.vmap` on an
    accelerator.

    Args:
        key: Determines the scene.
        config: Sizes and probabilities.
    """
    noise_key, draws_key, objects_key, sensor_key, masks_key = jax.random.split(key, 5)
    planes = noise_planes(noise_key, config.size)
    draws = Draws(jax.random.uniform(draws_key, (_DRAWS,)))
    palette = sample_palette(draws)
    ground = sample_ground(draws, palette)
    light = sample_light(draws)
    objects = sample_objects(objects_key, palette, config)
    canvas = paint(objects, ground, planes, -light.direction[:2])
    surfaces = surface_table(objects, ground)
    radiance, blur = shade(canvas, surfaces, planes, light, config.num_objects, draws)
    if config.camera:
        image = photograph(radiance, blur, draws, sensor_key)
    else:
        image = develop(radiance)
    chosen = choose_masks(canvas.owner, masks_key, config)
    return Scene(image, chosen.masks, chosen.valid, chosen.level, chosen.parent)


@partial(jax.jit, static_argnames="config")
def draw_scenes(keys: Key[Array, " b"], config: SceneConfig) -> Scene:
    """Draws a batch of scenes sequentially, which is faster on a CPU."""
    return jax.lax.map(lambda key: draw_scene(key, config), keys)
