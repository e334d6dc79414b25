"""Parameters that know some of the task before the first step.

SAM starts from a masked autoencoder. A run that starts from nothing, and is short, can
be given some things that it would otherwise spend its first hours on.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

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
    encoder = params["image_encoder"]
    projection = encoder["patch_embed"]["proj"]
    kernel = projection["kernel"]
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
    proj = {**projection, "kernel": kernel}
    patch_embed = {**encoder["patch_embed"], "proj": proj}
    return {**params, "image_encoder": {**encoder, "patch_embed": patch_embed}}


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
    prompt_encoder = params["prompt_encoder"]
    name = "positional_encoding_gaussian_matrix"
    frequencies = prompt_encoder["pe_layer"][name]
    half = frequencies.shape[1] // 2
    layer = {name: frequencies.at[:, half:].multiply(factor)}
    return {**params, "prompt_encoder": {**prompt_encoder, "pe_layer": layer}}


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

    def align(tree: Any, name: str = "") -> Any:
        if not isinstance(tree, Mapping):
            return tree
        tree = {key: align(value, key) for key, value in tree.items()}
        if name.endswith(("token_to_image", "image_to_token")):
            # Copies: a training step reuses the memory of each of its parameters.
            tree["k_proj"] = jax.tree.map(jnp.copy, tree["q_proj"])
            values = tree["v_proj"]["kernel"]
            tree["out_proj"] = {**tree["out_proj"], "kernel": values.T}
        return tree

    return {**params, "mask_decoder": align(params["mask_decoder"])}
