"""The image side of the mask decoder in factored form: the part shared by all prompts.

The decoder gives every prompt an image side of its own, thousands of positions of 256
channels (SAM, appendix A). All of them start from one embedding, and a layer changes it
little: it adds, by attention, sums of a few tokens' values, and normalizes. The image
side of a prompt after any layer is therefore

    scale[s] * embedding[s] + sum over heads n, tokens t of weights[n, t, s] * value[n, t]
    + bias

with the same embedding and bias for all prompts. Specific to a prompt are one scale per
position and, for each layer, attention weights and values: 56 numbers per position for
seven tokens and eight heads. Everything computed from an image side is linear in it but
for the variance in its norm, which is quadratic. Products with the embedding are
therefore taken once per image, here; per prompt the products have 56 columns a layer in
place of 256 (`samjax.models.amortized.algebra`).

Letters in shapes: `s` image position; `n d` head and its channels; `t` token; `e` the
channels of a token's value, one more than `d`; `k u f` head, token and value channels of
another layer. Fields of type `Any` are arrays of any one kind: JAX or NumPy arrays, or
names of values of an ONNX graph.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

# The statistics of norms are float32 in every mode; at the default precision an
# accelerator would take these products in fewer bits.
EXACT = jax.lax.Precision.HIGHEST


class ImageFactors(NamedTuple):
    """The factors of an image side that no prompt changes.

    Attributes:
        embedding: "s c".
        vectors: For every layer so far "n e c": maps a token's value in head `n` to the
            channels that it adds to a position.
        bias: "c".
    """

    embedding: Array
    vectors: tuple[Array, ...]
    bias: Array


class ProjectedImage(NamedTuple):
    """The shared factors after a linear projection: keys, values or queries by head.

    Attributes:
        embedding: "n d s". In the first layer it includes the positional encoding.
        positions: "n d s", the projected positional encoding. None where nothing is
            added to the image, and in the first layer.
        vectors: For every layer so far "k e n d".
        bias: "n d 1". None for keys: softmax over positions cancels a constant.
    """

    embedding: Any
    positions: Any | None
    vectors: tuple[Any, ...]
    bias: Any | None


class UpscaledImage(NamedTuple):
    """The shared factors after the first upscaling, with positions as the first axis.

    Attributes:
        embedding: "s d", the 2 x 2 pixels of a position one after the other.
        vectors: For every layer "n e d".
        bias: "d".
    """

    embedding: Any
    vectors: tuple[Any, ...]
    bias: Any


class VarianceFactors(NamedTuple):
    """The terms of the variance over channels, a square of the factored sum.

    Attributes:
        squares: "1 s", mean square of the embedding.
        mixed: For every layer "n e s", twice its vectors' products with the embedding.
        pairs: For every layer i, and every layer j until it, "n e k f": products of
            their vectors; twice these for j < i, so that j > i can be left out.
    """

    squares: Any
    mixed: tuple[Any, ...]
    pairs: tuple[tuple[Any, ...], ...]


class PreparedLayer(NamedTuple):
    """The shared part of one layer of the two-way transformer.

    Attributes:
        keys: Keys of the tokens' attention to the image.
        values: Values of the same.
        queries: Queries of the image's attention to the tokens.
        variance: For the norm after it.
    """

    keys: ProjectedImage
    values: ProjectedImage
    queries: ProjectedImage
    variance: VarianceFactors


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class PreparedImage:
    """The part of the mask decoder that all prompts of an image share.

    Attributes:
        layers: The layers of the two-way transformer.
        final_keys: Keys of the final attention of tokens to the image.
        final_values: Values of the same.
        upscaled: For drawing masks.
        grid: Height and width of the image embedding; static under `jax.jit`.
    """

    layers: tuple[PreparedLayer, ...]
    final_keys: ProjectedImage
    final_values: ProjectedImage
    upscaled: UpscaledImage
    grid: tuple[int, int] = dataclasses.field(metadata={"static": True})


class PromptFactors(NamedTuple):
    """The factors of an image side that are specific to a prompt.

    Shapes are those of JAX, with prompts `p` first; another kind of array may have its
    heads and tokens on one axis.

    Attributes:
        scale: Float32 "p s".
        weights: For every layer so far "p n t s".
        values: For every layer so far "p n t e".
    """

    scale: Any
    weights: tuple[Any, ...]
    values: tuple[Any, ...]


def project_keys(
    image: ImageFactors, kernel: Float[Array, "c n d"], positions: Float[Array, "s c"]
) -> ProjectedImage:
    """Projects image plus positions to keys. Their bias cancels in softmax."""
    return _project(image, kernel, None, positions)


def project_queries(
    image: ImageFactors,
    kernel: Float[Array, "c n d"],
    bias: Float[Array, "n d"],
    positions: Float[Array, "s c"],
) -> ProjectedImage:
    """Projects image plus positions to queries."""
    return _project(image, kernel, bias, positions)


def project_values(
    image: ImageFactors, kernel: Float[Array, "c n d"], bias: Float[Array, "n d"]
) -> ProjectedImage:
    """Projects the image to values, which have no positions."""
    return _project(image, kernel, bias, None)


def _project(image, kernel, bias, positions) -> ProjectedImage:
    embedding = image.embedding
    if positions is not None and not image.vectors:
        # No norm has scaled the embedding yet: one projection has both.
        embedding, positions = embedding + positions, None
    if bias is not None:
        bias = (bias + jnp.einsum("c,cnd->nd", image.bias, kernel))[..., None]
    if positions is not None:
        positions = jnp.einsum("sc,cnd->nds", positions, kernel)
    return ProjectedImage(
        # Positions last: softmax over tokens and sums over heads run along them.
        embedding=jnp.einsum("sc,cnd->nds", embedding, kernel),
        positions=positions,
        vectors=tuple(jnp.einsum("kec,cnd->kend", v, kernel) for v in image.vectors),
        bias=bias,
    )


def project_to_pixels(
    image: ImageFactors, kernel: Float[Array, "c d"], bias: Float[Array, " d"]
) -> UpscaledImage:
    """Projects each position to its 2 x 2 pixels, the first step of upscaling."""
    return UpscaledImage(
        embedding=image.embedding @ kernel,
        vectors=tuple(v @ kernel for v in image.vectors),
        bias=image.bias @ kernel + bias,
    )


def add_and_normalize(
    image: ImageFactors,
    kernel: Float[Array, "n d c"],
    bias: Float[Array, " c"],
    norm_scale: Float[Array, " c"],
    norm_bias: Float[Array, " c"],
) -> tuple[VarianceFactors, ImageFactors]:
    """Adds the output of an attention to the tokens, and normalizes over channels.

    Args:
        image: Before.
        kernel: Kernel of the attention's output projection, by head.
        bias: Bias of the same.
        norm_scale: Scale of the norm after it.
        norm_bias: Bias of the same.

    Returns:
        The terms of the norm's variance, and the factors after it.
    """
    dtype = image.embedding.dtype
    image = jax.tree.map(lambda array: array.astype(jnp.float32), image)
    # Weights of a head sum to one, so a value that is one for all tokens adds a
    # constant: `FactoredTransformer.append_ones` gives the first head such a channel,
    # and this is its vector.
    constant = jnp.zeros((kernel.shape[0], 1, kernel.shape[2]), jnp.float32)
    constant = constant.at[0, 0].set(image.bias + bias)
    added = jnp.concatenate([kernel.astype(jnp.float32), constant], axis=1)
    # The mean that the norm subtracts is linear: subtracted from every factor here, it
    # costs nothing per prompt, and squares of large means never have to cancel.
    embedding = _centre(image.embedding)
    vectors = tuple(_centre(v) for v in (*image.vectors, added))
    one_channel = 1.0 / len(bias)

    def mean(equation, a, b):
        return one_channel * jnp.einsum(equation, a, b, precision=EXACT)

    variance = VarianceFactors(
        squares=jnp.mean(jnp.square(embedding), axis=1)[None],
        mixed=tuple(2.0 * mean("sc,nec->nes", embedding, v) for v in vectors),
        pairs=tuple(
            tuple(
                (1.0 if i == j else 2.0) * mean("nec,kfc->nekf", v, vectors[j])
                for j in range(i + 1)
            )
            for i, v in enumerate(vectors)
        ),
    )
    after = ImageFactors(
        embedding=embedding * norm_scale[None],
        vectors=tuple(v * norm_scale[None, None] for v in vectors),
        bias=norm_bias,
    )
    return variance, jax.tree.map(lambda array: array.astype(dtype), after)


def _centre(x: Float[Array, "*s c"]) -> Float[Array, "*s c"]:
    return x - jnp.mean(x, axis=-1, keepdims=True)
