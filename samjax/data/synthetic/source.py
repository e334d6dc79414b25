"""Drawn scenes as training batches, without end and without state."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, PRNGKeyArray

from samjax.data.batch import Batch
from samjax.data.synthetic.config import SceneConfig
from samjax.data.synthetic.scene import draw_scene, draw_scenes


class SyntheticSource:
    """Batches of drawn scenes; each a function of the seed and the step alone.

    Scenes are drawn on the default device.

    Args:
        config: The scenes: their size is the model's input size, their `num_masks` the
            target masks of an image.
        batch_size: Images of a batch.
        seed: Another seed, other scenes.
    """

    def __init__(self, config: SceneConfig, *, batch_size: int, seed: int):
        self._config = config
        self._batch_size = batch_size
        self._key = jax.random.key(seed)

    def batch(self, step: int) -> Batch:
        """Draws the batch of one step."""
        step_number = jax.device_put(np.int32(step))
        return _draw_batch(self._key, step_number, self._batch_size, self._config)


@partial(jax.jit, static_argnums=(2, 3))
def _draw_batch(
    key: PRNGKeyArray, step: Int[Array, ""], batch_size: int, config: SceneConfig
) -> Batch:
    keys = jax.random.split(jax.random.fold_in(key, step), batch_size)
    # A CPU draws faster one scene after the other, an accelerator all at once.
    if jax.default_backend() == "cpu":
        scenes = draw_scenes(keys, config)
    else:
        scenes = jax.vmap(draw_scene, in_axes=(0, None))(keys, config)
    return Batch(
        images=scenes.image.astype(jnp.uint8),
        sizes=jnp.full((batch_size, 2), config.size, jnp.int32),
        masks=scenes.masks,
        valid=scenes.valid,
    )
