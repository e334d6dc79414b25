"""Confidence intervals by bootstrap over images.

Objects of one image are alike, so that a bootstrap over objects is too sure of itself:
nominal 95 % cover 77 to 82 % where IoUs within an image correlate by a half. Images are
drawn instead, with all of their objects. Below some 40 images the intervals are still
too narrow (89 to 91 % at 15).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Integer, Real

RESAMPLES = 10_000
FEW_IMAGES = 40
"""Images below which an interval covers less than it says."""

_CHUNK = 500


def bootstrap_means(
    values: Real[np.ndarray, " n"],
    images: Integer[np.ndarray, " n"],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Float[np.ndarray, " r"]:
    """Returns means over objects of images drawn with replacement.

    Args:
        values: A number of each object.
        images: The image of each object.
        seed: Of the draws. Scores of the same objects with one seed are of the same
            draws.
        resamples: How often images are drawn.
    """
    _, image = np.unique(images, return_inverse=True)
    count = np.bincount(image)
    total = np.bincount(image, weights=values.astype(float))
    rng = np.random.default_rng(seed)
    even = np.full(len(count), 1 / len(count))
    means = []
    for start in range(0, resamples, _CHUNK):
        number = min(_CHUNK, resamples - start)
        weights = rng.multinomial(len(count), even, size=number)
        means.append((weights @ total) / (weights @ count))
    return np.concatenate(means)


def interval(means: Float[np.ndarray, " r"], level: float = 0.95) -> list[float]:
    """Returns the two percentiles that `level` of the means lie between."""
    tail = 100 * (1 - level) / 2
    return [float(side) for side in np.percentile(means, [tail, 100 - tail])]


def mean_of_sets(
    sets: Sequence[Float[np.ndarray, " r"]],
) -> Float[np.ndarray, " r"]:
    """Returns the bootstrapped means of a mean over sets, each drawn by itself."""
    return np.mean(np.stack(sets), axis=0)
