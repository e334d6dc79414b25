"""Smooth random fields, upsampled from small random grids.

Every texture, rough outline and patch of light of a scene is a weighted sum of the same
few planes, two per octave. Weights (a, b) on the two planes of an octave give each
object a field of its own, and (-b, a) a second field independent of the first. A plane
costs two small matrix products.
"""

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

OCTAVES = (2, 4, 8, 16, 32, 64, 128)  # cells per side of the image
NUM_PLANES = 2 * len(OCTAVES)
_PAD = 2  # cells beyond each edge, the support of the cubic
# Restores unit variance: the cubic B-spline's squared weights sum to 151/315 per axis
# on average.
_GAIN = (315 / 151) ** 0.5


def noise_planes(key: PRNGKeyArray, size: int) -> Float[Array, "planes h w"]:
    """Draws the planes of all octaves, with mean 0 and standard deviation about 1.

    Octaves finer than the pixels are averaged over each pixel, so a key gives the same
    planes at every size.
    """
    # Uniforms of standard deviation 1.
    sides = [cells + 2 * _PAD for cells in OCTAVES]
    ends = np.cumsum([2 * side * side for side in sides])
    grids = jax.random.uniform(key, (ends[-1],), minval=-(3**0.5), maxval=3**0.5)
    planes = []
    for cells, side, grid in zip(
        OCTAVES, sides, jnp.split(grids, ends[:-1]), strict=True
    ):
        weights = jnp.asarray(_upsampling(cells, size))
        planes.append(weights @ grid.reshape(2, side, side) @ weights.T)
    return jnp.concatenate(planes)


@lru_cache(maxsize=64)
def _upsampling(cells: int, size: int) -> Float[np.ndarray, "size side"]:
    """Returns cubic B-spline weights from a padded grid, averaged over each pixel."""
    samples = max(1, round(4 * cells / size))
    at = (np.arange(size * samples) + 0.5) / (size * samples) * cells + _PAD - 0.5
    distance = np.abs(at[:, None] - np.arange(cells + 2 * _PAD)[None])
    near = (4 - 6 * distance**2 + 3 * distance**3) / 6
    far = np.clip(2 - distance, 0, None) ** 3 / 6
    weights = np.where(distance < 1, near, far) * _GAIN
    return weights.reshape(size, samples, -1).mean(1).astype(np.float32)
