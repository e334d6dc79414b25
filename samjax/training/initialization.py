"""Parameters that know some of the task before the first step.

SAM starts from a masked autoencoder. A run that starts from nothing, and is short, can
be given some things that it would otherwise spend its first hours on.
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

# Added to each component's variance, that of normalized pixels being about 1: below it
# lies noise, which is not to be blown up.
_NOISE = 0.03


def whiten_patches(params: Any, pixels: Float[Array, "b h w 3"]) -> Any:
    """Makes the patch embedding show everything that is in a patch.

    Nearly all of the variance of a patch of a picture is its mean colour; the edges
    that a mask follows are a few percent of it. A random projection buries them. A
    projection on the principal components of patches, each at the same scale, does not.

    Args:
        params: Fresh parameters of a model.
        pixels: Normalized images, some hundreds of patches in all.

    Returns:
        The parameters with a kernel that maps such patches to uncorrelated channels of
        variance one (less for those that are mostly noise), in the order of the
        variance that they explain. Channels beyond the values of a patch stay as they
        were.
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
    """Makes half of the Fourier features of positions finer.

    Standard normal frequencies tell places apart that are some 8 % of the image's side
    away from each other, five patches of a grid of 64. What is finer has to be
    learned from small differences, which a short run has no time for; with the other
    half as it was, what is far apart stays as easy to relate.

    Args:
        params: Fresh parameters of a model.
        factor: By how much.
    """
    frequencies = value_at(params, FOURIER_MATRIX)
    half = frequencies.shape[1] // 2
    frequencies = frequencies.at[:, half:].multiply(factor)
    return with_value(params, FOURIER_MATRIX, frequencies)


def align_cross_attention(params: Any) -> Any:
    """Makes the mask decoder's cross-attention look for likeness.

    Queries and keys of a fresh attention are random projections of their own, so that
    what it attends to means nothing. With the same projection for both, a click attends
    to what lies where it points, since positions of a click and of the image are
    encoded alike, and a place in the image attends to the click whose surroundings
    look like it. With the transposed projection of the values as the one of the output,
    what is gathered arrives in the channels that it came from.

    Args:
        params: Fresh parameters of a model.

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
