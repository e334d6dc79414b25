"""An endless, stateless source of training batches of drawn scenes."""

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
        config: The scenes: `size` is the model's input size, `num_masks` the number of
            target masks of an image.
        batch_size: Images per batch, over all shards.
        seed: Seed of the scenes.
        part: The shard of each batch to draw, if several processes draw one each.
        parts: Number of equal shards of a batch.

    Raises:
        ValueError: The batch cannot be divided into these shards.
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
        """Draws this shard of the batch of one step."""
        step_on_device = jax.device_put(np.int32(step))
        return _draw_batch(
            self._key, step_on_device, self._batch_size, self._rows, self._config
        )


@partial(jax.jit, static_argnums=(2, 3, 4))
def _draw_batch(
    key: PRNGKeyArray,
    step: Int[Array, ""],
    batch_size: int,
    rows: tuple[int, int],
    config: SceneConfig,
) -> Batch:
    # Keys of the whole batch, so that its scenes do not depend on the number of shards.
    keys = jax.random.split(jax.random.fold_in(key, step), batch_size)
    keys = keys[rows[0] : rows[1]]
    # On a CPU drawing is faster sequentially, where branches skip work; on an
    # accelerator vectorized.
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
