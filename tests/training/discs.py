"""Batches of bright discs on a dark ground."""

import jax
import jax.numpy as jnp
import numpy as np

from samjax.data.batch import Batch


def disc_batch(step: int, *, batch_size=2, size=32, masks=2) -> Batch:
    """Draws a batch; a function of the step alone."""
    rng = np.random.default_rng(step)
    centres = rng.uniform(0.25, 0.75, (batch_size, masks, 1, 1, 2)) * size
    y, x = np.mgrid[:size, :size]
    distance = np.hypot(x - centres[..., 0], y - centres[..., 1])
    discs = distance < size / 5
    brightness = np.linspace(120, 250, masks).reshape(1, masks, 1, 1)
    image = (discs * brightness).max(1)[..., None].repeat(3, -1)
    batch = Batch(
        images=image.astype(np.uint8),
        sizes=np.full((batch_size, 2), size, np.int32),
        masks=discs,
        valid=np.ones((batch_size, masks), bool),
    )
    return jax.tree.map(jnp.asarray, batch)


class DiscSource:
    """Batches of the shapes of a stage."""

    def __init__(self, stage, part=0, parts=1):
        self.rows = [
            part * stage.batch_size // parts,
            (part + 1) * stage.batch_size // parts,
        ]
        self.shapes = {
            "batch_size": stage.batch_size,
            "size": stage.image_size,
            "masks": stage.masks_per_image,
        }

    def batch(self, step: int) -> Batch:
        """This part of the batch of a step."""
        batch = disc_batch(step, **self.shapes)
        return jax.tree.map(lambda leaf: leaf[slice(*self.rows)], batch)


def make_discs(config, stage, part=0, parts=1) -> DiscSource:
    """Makes the source of a stage, as the loop calls it."""
    del config
    return DiscSource(stage, part, parts)
