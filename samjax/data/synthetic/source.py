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
        batch_size: Images of a batch, of all its parts together.
        seed: Another seed, other scenes.
        part: Which part of each batch is drawn, where several processes draw one each.
        parts: In how many equal parts a batch is.

    Raises:
        ValueError: A batch is not in so many equal parts.
    """

    def __init__(
        self,
        config: SceneConfig,
        *,
        batch_size: int,
        seed: int,
        part: int = 0,
        parts: int = 1,
    ):
        if batch_size % parts:
            raise ValueError(
                f"a batch of {batch_size} images is not in {parts} equal parts: choose"
                " batch_size to be a multiple of the processes"
            )
        self._config = config
        self._batch_size = batch_size
        self._rows = part * (batch_size // parts), (part + 1) * (batch_size // parts)
        self._key = jax.random.key(seed)

    def batch(self, step: int) -> Batch:
        """Draws this part of the batch of one step."""
        step_number = jax.device_put(np.int32(step))
        return _draw_batch(
            self._key, step_number, self._batch_size, self._rows, self._config
        )


@partial(jax.jit, static_argnums=(2, 3, 4))
def _draw_batch(
    key: PRNGKeyArray,
    step: Int[Array, ""],
    batch_size: int,
    rows: tuple[int, int],
    config: SceneConfig,
) -> Batch:
    keys = jax.random.split(jax.random.fold_in(key, step), batch_size)
    keys = keys[rows[0] : rows[1]]
    # A CPU draws faster one scene after the other, an accelerator all at once.
    if jax.default_backend() == "cpu":
        scenes = draw_scenes(keys, config)
    else:
        scenes = jax.vmap(draw_scene, in_axes=(0, None))(keys, config)
    return Batch(
        images=scenes.image.astype(jnp.uint8),
        sizes=jnp.full((len(keys), 2), config.size, jnp.int32),
        masks=scenes.masks,
        valid=scenes.valid,
    )
