"""Informed initialization for short runs from random parameters.

A patch embedding that whitens patches, aligned projections of the cross-attentions and
finer Fourier frequencies. SAM itself starts from a masked autoencoder.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from samjax.models.params import (
    FOURIER_MATRIX,
    KERNEL,
    KEY,
    OUTPUT,
    PATCH_KERNEL,
    QUERY,
    VALUE,
    cross_attentions,
    value_at,
    with_value,
)

# Regularization added to the variance of each principal component (normalized pixels have
# a variance of about 1), so that whitening does not amplify noise.
_NOISE = 0.03


def whiten_patches(params: Any, pixels: Float[Array, "b h w 3"]) -> Any:
    """Sets the patch embedding to whitened principal components of patches.

    Nearly all of the variance of an image patch is its mean colour; the edges that a
    mask follows are a few percent of it, and vanish in a random projection. Whitening
    scales all principal components equally.

    Args:
        params: Random parameters of a model.
        pixels: Normalized images, some hundreds of patches in all.

    Returns:
        The parameters with a kernel that maps such patches to uncorrelated channels of
        variance one (less for noise components), in descending order of the explained
        variance. Channels beyond the number of values of a patch are unchanged.
    """
    kernel = value_at(params, PATCH_KERNEL)
    size, _, channels, features = kernel.shape
    batch, height, width, _ = pixels.shape
    patches = pixels.reshape(batch, height // size, size, width // size, size, channels)
    patches = patches.swapaxes(2, 3).reshape(-1, size * size * channels)
    covariance = patches.T @ patches / patches.shape[0]
    variances, components = jnp.linalg.eigh(covariance)
    whitening = components / jnp.sqrt(variances + _NOISE)[None]
    whitening = whitening[:, ::-1][:, :features]
    whitening = whitening.reshape(size, size, channels, -1)
    kernel = kernel.at[..., : whitening.shape[-1]].set(whitening)
    return with_value(params, PATCH_KERNEL, kernel)


def spread_frequencies(params: Any, factor: float = 4.0) -> Any:
    """Multiplies half of the frequencies of the Fourier position encoding.

    Standard normal frequencies resolve positions some 8 % of the image's side apart,
    five patches of a grid of 64; a short run does not learn finer differences. The other
    half is unchanged and keeps relating distant positions.

    Args:
        params: Random parameters of a model.
        factor: Factor on the frequencies.
    """
    frequencies = value_at(params, FOURIER_MATRIX)
    half = frequencies.shape[1] // 2
    frequencies = frequencies.at[:, half:].multiply(factor)
    return with_value(params, FOURIER_MATRIX, frequencies)


def align_cross_attention(params: Any) -> Any:
    """Aligns the projections of the mask decoder's cross-attentions.

    Random projections of queries and keys are unrelated, and so are attention weights.
    With the same projection for both, weights follow similarity: a point token attends
    to its own position, since points and image share their position encoding, and an
    image position attends to the points with similar surroundings. With the output
    projection transposed from that of the values, values return to their own channels.

    Args:
        params: Random parameters of a model.

    Returns:
        The parameters with `k_proj` as `q_proj`, and `out_proj` as the transposed
        `v_proj`, in every attention between tokens and image.
    """
    for path in cross_attentions(params):
        attention = value_at(params, path)
        # Copies: a training step reuses the memory of each of its parameters.
        keys = jax.tree.map(jnp.copy, attention[QUERY])
        output = {**attention[OUTPUT], KERNEL: attention[VALUE][KERNEL].T}
        params = with_value(params, path, {**attention, KEY: keys, OUTPUT: output})
    return params
