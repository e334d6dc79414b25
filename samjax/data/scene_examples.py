"""Drawn scenes as examples with random access, for mixtures.

A run on drawn scenes alone draws them on the training device
(`samjax.data.synthetic.source`). In a mixture they have to come as other examples do,
one at a time from threads or worker processes: the host's CPU draws them, and their
masks are converted to run boundaries.
"""

from __future__ import annotations

import functools
import multiprocessing
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from samjax.data.examples import Example, ExampleSource, Status
from samjax.data.prepare import PrepareConfig, choose_usable
from samjax.data.runs import boundaries_of_masks, pack_boundaries
from samjax.data.synthetic.config import SceneConfig
from samjax.data.synthetic.scene import draw_scene
from samjax.data.textures import draw_photos, fill_regions


class SceneExamples:
    """An endless sequence of drawn scenes, each a function of the seed and its index.

    Args:
        config: The scenes; `size` is the side of the training frame, `num_masks` the
            number of mask slots.
        boundaries_per_mask: Largest number of run boundaries per mask.
        seed: Seed of the scenes.
        textures: Photos that fill the scenes' regions; None for the drawn materials. A
            scene for which no photo can be read counts as damaged.
        count: Number of distinct scenes, after which the first one follows again; None
            for no end of new ones.
    """

    def __init__(
        self,
        config: SceneConfig,
        boundaries_per_mask: int,
        seed: int,
        *,
        textures: ExampleSource | None = None,
        count: int | None = None,
    ):
        self._config, self._seed, self._textures = config, seed, textures
        self._count = sys.maxsize if count is None else count
        self._prepared = PrepareConfig(
            image_size=config.size,
            masks_per_image=config.num_masks,
            boundaries_per_mask=boundaries_per_mask,
        )
        # JAX defines its options at run time, unseen by the type checker.
        self._cache = jax.config.jax_compilation_cache_dir  # pyright: ignore
        self._was_pickled = False

    def __len__(self) -> int:
        return sys.maxsize

    def __getitem__(self, index: int, /) -> Example:
        self._use_cpu_only()
        index %= self._count
        with jax.default_device(jax.local_devices(backend="cpu")[0]):
            draw = _draw if self._textures is None else _draw_masks
            drawn = draw(np.uint32(self._seed), np.uint32(index), self._config)
            image, masks, valid = (np.asarray(leaf) for leaf in drawn)
        if self._textures is None:
            return example_of_scene(image, masks[valid], self._prepared, index)
        rng = np.random.default_rng([self._seed, index])
        photos = draw_photos(self._textures, self._config.size, rng)
        if not photos:
            bad = example_of_scene(image, masks[:0], self._prepared, index)
            return bad._replace(status=np.array(Status.BAD_IMAGE, np.int32))
        image = fill_regions(masks[valid], photos, rng)
        return example_of_scene(image, masks[valid], self._prepared, index)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_was_pickled": True}

    def _use_cpu_only(self) -> None:
        # JAX in a worker process is not initialized yet, and would claim the
        # accelerators of the run.
        if self._was_pickled and multiprocessing.parent_process() is not None:
            jax.config.update("jax_platforms", "cpu")
            jax.config.update("jax_compilation_cache_dir", self._cache)
            self._was_pickled = False


def example_of_scene(
    image: np.ndarray, masks: np.ndarray, config: PrepareConfig, index: int
) -> Example:
    """Makes an example of an image that fills the training frame.

    Args:
        image: UInt8 "s s 3".
        masks: Bool "m s s", at most `masks_per_image`.
        config: Shapes and bounds on masks.
        index: Index of the scene.
    """
    side = config.image_size
    boundaries, usable, too_coarse = choose_usable(
        boundaries_of_masks(masks), (side, side), config
    )
    shape = (config.masks_per_image, config.boundaries_per_mask)
    runs = np.full(shape, side * side, np.int32)
    pack_boundaries(boundaries, usable, runs[: len(usable)])
    return Example(
        image=image,
        size=np.array((side, side), np.int32),
        runs=runs,
        valid=np.arange(config.masks_per_image) < len(usable),
        status=np.array(Status.FINE if len(usable) else Status.NO_MASK, np.int32),
        bad_masks=np.array(too_coarse.sum(), np.int32),
        index=np.array(index, np.int64),
    )


@functools.partial(jax.jit, static_argnames="config")
def _draw(seed: jax.Array, index: jax.Array, config: SceneConfig) -> Any:
    scene = draw_scene(jax.random.fold_in(jax.random.key(seed), index), config)
    return scene.image.astype(jnp.uint8), scene.masks, scene.valid


@functools.partial(jax.jit, static_argnames="config")
def _draw_masks(seed: jax.Array, index: jax.Array, config: SceneConfig) -> Any:
    # The image is unused, so XLA eliminates the lighting as dead code.
    image, masks, valid = _draw(seed, index, config)
    return jnp.zeros_like(image), masks, valid
