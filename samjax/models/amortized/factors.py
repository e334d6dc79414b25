"""The image side of prompts that share their image, without ever writing it out.

The decoder gives every prompt an image side of its own, thousands of positions of 256
channels (SAM, appendix A). But all of them start from one embedding, and what a layer
does to it is little: it adds, by attention, sums of a few tokens, and normalizes. So a
prompt's image side is

    scale[s] * embedding[s] + sum over tokens and heads of weights[s] * vector + bias

with the same embedding for all prompts, and what a prompt has of its own is a number per
position and the attention weights: 56 a layer for seven tokens and eight heads. All that
the decoder asks of an image side is linear in it, so products with the embedding are
taken once per image (`Reading`), and a prompt's own part costs products of 56 columns
where its image side has 256. This is the same function, up to rounding.

Here the positions are the last axis: softmax over tokens and sums over heads then run
along whole cache lines.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from samjax.models.layers import DECODER_EPSILON

# Norms are float32 in every mode: accelerators would take their products in fewer bits.
EXACT = jax.lax.Precision.HIGHEST


class Shared(NamedTuple):
    """What image sides are made of and what no prompt changes.

    Attributes:
        embedding: "s c".
        vectors: For every layer so far "n e c", by head, what turns values into what is
            added to a position.
        bias: "c".
    """

    embedding: Array
    vectors: tuple[Array, ...]
    bias: Array


class Reading(NamedTuple):
    """A projection of all that is shared: an attention's keys, values or queries.

    Attributes:
        embedding: "n d s", by head.
        vectors: For every layer so far "k e n d".
        constant: "n d s", or "n d 1" where all positions have the same.
    """

    embedding: Array
    vectors: tuple[Array, ...]
    constant: Array


class Rows(NamedTuple):
    """A projection of all that is shared, with the positions first.

    Attributes:
        embedding: "s d".
        vectors: For every layer so far "k e d".
        constant: "d".
    """

    embedding: Array
    vectors: tuple[Array, ...]
    constant: Array


class Variance(NamedTuple):
    """What the variance over channels is computed from.

    Attributes:
        squares: "s", of the embedding.
        mixed: For every layer "n e s", its vectors with the embedding.
        vectors: For every two layers "n e k f", their vectors with each other.
    """

    squares: Array
    mixed: tuple[Array, ...]
    vectors: tuple[tuple[Array, ...], ...]


class ImageSides(NamedTuple):
    """What prompts have of their own.

    Attributes:
        scale: Float32 "p s".
        weights: For every layer so far "p k u s", by head and token.
        values: For every layer so far "p k u e", of the same.
    """

    scale: Array
    weights: tuple[Array, ...]
    values: tuple[Array, ...]


def read(
    shared: Shared,
    kernel: Float[Array, "c n d"],
    bias: Float[Array, "n d"],
    positions: Float[Array, "s c"] | None = None,
) -> Reading:
    """Projects what is shared, and the positions where they are added to the image."""
    constant = bias + jnp.einsum("c,cnd->nd", shared.bias, kernel)
    constant = constant[..., None]
    if positions is not None:
        constant = constant + jnp.einsum("sc,cnd->nds", positions, kernel)
    return Reading(
        embedding=jnp.einsum("sc,cnd->nds", shared.embedding, kernel),
        vectors=tuple(jnp.einsum("kec,cnd->kend", v, kernel) for v in shared.vectors),
        constant=constant,
    )


def add_and_normalize(
    shared: Shared,
    kernel: Float[Array, "n d c"],
    bias: Float[Array, " c"],
    norm_scale: Float[Array, " c"],
    norm_bias: Float[Array, " c"],
) -> tuple[Variance, Shared]:
    """What is shared once another layer has added to image sides and normalized them.

    Args:
        shared: Before.
        kernel: Of the attention's output projection, by head.
        bias: Of the same.
        norm_scale: Of the norm.
        norm_bias: Of the norm.

    Returns:
        What `update` takes, and what is shared after it.
    """
    dtype = shared.embedding.dtype
    shared = jax.tree.map(lambda array: array.astype(jnp.float32), shared)
    # The weights of a head sum to one, so that a constant is what a head adds whose
    # values are all one: `_with_constant` gives the first head such values.
    constant = jnp.zeros((kernel.shape[0], 1, kernel.shape[2]), jnp.float32)
    constant = constant.at[0, 0].set(shared.bias + bias)
    added = jnp.concatenate([kernel.astype(jnp.float32), constant], axis=1)
    # What the norm subtracts is linear, and subtracted here.
    embedding = _centred(shared.embedding)
    vectors = tuple(_centred(v) for v in (*shared.vectors, added))
    each = 1.0 / len(bias)

    def mean(equation, a, b):
        return each * jnp.einsum(equation, a, b, precision=EXACT)

    variance = Variance(
        squares=jnp.mean(jnp.square(embedding), axis=1),
        mixed=tuple(mean("sc,nec->nes", embedding, v) for v in vectors),
        vectors=tuple(
            tuple(mean("nec,kfc->nekf", v, other) for other in vectors) for v in vectors
        ),
    )
    after = Shared(
        embedding=embedding * norm_scale[None],
        vectors=tuple(v * norm_scale[None, None] for v in vectors),
        bias=norm_bias,
    )
    return variance, jax.tree.map(lambda array: array.astype(dtype), after)


def scores(
    sides: ImageSides | None, reading: Reading, vectors: Float[Array, "p n t d"]
) -> Float[Array, "p n t s"]:
    """Products of every position's projection with vectors of tokens, by head.

    Args:
        sides: None where all prompts have the embedding itself.
        reading: The projection.
        vectors: Queries of tokens, or their keys.
    """

    def products(of_head):
        return _by_head(vectors, of_head)

    if sides is None:
        return products(reading.embedding + reading.constant)
    total = sides.scale[:, None, None] * products(reading.embedding)
    total += products(jnp.broadcast_to(reading.constant, reading.embedding.shape))
    for weights, own in zip(sides.weights, _projected(sides, reading), strict=True):
        own = jnp.einsum("pkund,pntd->pntku", own, vectors)
        total += _combine(own, weights)
    return total


def gather(
    sides: ImageSides | None, reading: Reading, weights: Float[Array, "p n t s"]
) -> Float[Array, "p n t d"]:
    """Sums every head's projection over the positions.

    Args:
        sides: None where all prompts have the embedding itself.
        reading: The projection, with the same constant at all positions.
        weights: That sum to one over the positions.
    """
    dtype = reading.embedding.dtype
    constant = reading.constant[None, :, None, :, 0]
    if sides is None:
        return _over_positions(weights.astype(dtype), reading.embedding) + constant
    scaled = (weights * sides.scale[:, None, None]).astype(dtype)
    total = _over_positions(scaled, reading.embedding) + constant
    weights = weights.astype(dtype)
    for theirs, own in zip(sides.weights, _projected(sides, reading), strict=True):
        shares = _overlap(weights, theirs)
        total += jnp.einsum("pntku,pkund->pntd", shares, own)
    return total


def update(
    sides: ImageSides | None,
    variance: Variance,
    weights: Float[Array, "p n t s"],
    values: Float[Array, "p n t d"],
) -> ImageSides:
    """Adds what positions gather from tokens, and normalizes over channels.

    Args:
        sides: None where all prompts have the embedding itself.
        variance: Of the layer.
        weights: That sum to one over the tokens.
        values: Of the tokens.
    """
    all_weights, all_values = [weights], [_with_constant(values)]
    scale = jnp.ones((1, weights.shape[-1]), jnp.float32)
    if sides is not None:
        all_weights = [*sides.weights, *all_weights]
        all_values = [*sides.values, *all_values]
        scale = sides.scale

    squares = jnp.square(scale) * variance.squares[None]
    vectors = [v.astype(jnp.float32) for v in all_values]
    for i, own in enumerate(all_weights):
        products = _by_head(vectors[i], variance.mixed[i], EXACT)
        products *= 2.0 * scale[:, None, None]
        for j, theirs in enumerate(all_weights[: i + 1]):
            # Each product of two layers is taken once, and counted twice.
            between = (1.0 if i == j else 2.0) * jnp.einsum(
                "pnte,nekf,pkuf->pntku",
                vectors[i],
                variance.vectors[i][j],
                vectors[j],
                precision=EXACT,
            )
            products += _combine(between, theirs.astype(jnp.float32), EXACT)
        squares += jnp.sum(own * products, axis=(1, 2))
    rescale = jax.lax.rsqrt(jnp.maximum(squares, 0.0) + DECODER_EPSILON)
    return ImageSides(
        scale=scale * rescale,
        weights=tuple(
            (each * rescale[:, None, None]).astype(each.dtype) for each in all_weights
        ),
        values=tuple(all_values),
    )


def read_rows(
    shared: Shared, kernel: Float[Array, "c d"], bias: Float[Array, " d"]
) -> Rows:
    """Projects what is shared, for image sides that are to be written out."""
    return Rows(
        embedding=shared.embedding @ kernel,
        vectors=tuple(v @ kernel for v in shared.vectors),
        constant=shared.bias @ kernel + bias,
    )


def write_out(sides: ImageSides, rows: Rows) -> Float[Array, "p s d"]:
    """Writes out a projection of image sides, position by position."""
    total = sides.scale[..., None] * rows.embedding[None] + rows.constant[None, None]
    layers = zip(sides.weights, sides.values, rows.vectors, strict=True)
    for weights, values, vectors in layers:
        own = jnp.einsum("pkue,ked->pkud", values, vectors)
        total += jnp.einsum("pkus,pkud->psd", weights, own)
    return total


def _by_head(
    vectors: Float[Array, "p n t d"],
    of_head: Float[Array, "n d s"],
    precision: jax.lax.Precision | None = None,
) -> Float[Array, "p n t s"]:
    """Products of tokens' vectors with all positions, in float32.

    Written so that positions come out as the last axis: transposing that much costs
    more than the product.
    """
    prompts, heads, tokens, channels = vectors.shape
    rows = vectors.swapaxes(0, 1).reshape(heads, prompts * tokens, channels)
    products = jax.lax.dot_general(
        rows,
        of_head,
        (((2,), (1,)), ((0,), (0,))),
        precision=precision,
        preferred_element_type=jnp.float32,
    )
    return products.reshape(heads, prompts, tokens, -1).swapaxes(0, 1)


def _combine(
    factors: Float[Array, "p n t k u"],
    weights: Float[Array, "p k u s"],
    precision: jax.lax.Precision | None = None,
) -> Float[Array, "p n t s"]:
    """Sums weights, each multiplied by its factor, in float32.

    Here and below heads and tokens are made one axis: of products over several axes XLA
    makes copies in another order.
    """
    shape = (*factors.shape[:3], weights.shape[-1])
    factors = factors.reshape(len(factors), shape[1] * shape[2], -1)
    weights = weights.reshape(len(weights), -1, shape[-1])
    total = jnp.einsum(
        "pjk,pks->pjs",
        factors.astype(weights.dtype),
        weights,
        precision=precision,
        preferred_element_type=jnp.float32,
    )
    return total.reshape(shape)


def _overlap(
    weights: Float[Array, "p n t s"], others: Float[Array, "p k u s"]
) -> Float[Array, "p n t k u"]:
    """Sums products of weights over the positions."""
    flat, flat_others = (x.reshape(len(x), -1, x.shape[-1]) for x in (weights, others))
    total = jnp.einsum("pjs,pks->pjk", flat, flat_others)
    return total.reshape(*weights.shape[:3], *others.shape[1:3])


def _over_positions(
    weights: Float[Array, "p n t s"], of_head: Float[Array, "n d s"]
) -> Float[Array, "p n t d"]:
    """Sums over the positions, head by head."""
    prompts, heads, tokens, positions = weights.shape
    rows = weights.swapaxes(0, 1).reshape(heads, prompts * tokens, positions)
    sums = jax.lax.dot_general(rows, of_head, (((2,), (2,)), ((0,), (0,))))
    return sums.reshape(heads, prompts, tokens, -1).swapaxes(0, 1)


def _projected(sides: ImageSides, reading: Reading) -> list[Float[Array, "p k u n d"]]:
    """What every head `k` and token `u` has added, projected."""
    return [
        jnp.einsum("pkue,kend->pkund", v, of_layer)
        for v, of_layer in zip(sides.values, reading.vectors, strict=True)
    ]


def _with_constant(values: Float[Array, "p n t d"]) -> Float[Array, "p n t e"]:
    """Values with one more channel: ones in the first head, zeros in the others."""
    ones = jnp.zeros((*values.shape[:3], 1), values.dtype).at[:, 0].set(1.0)
    return jnp.concatenate([values, ones], axis=-1)


def _centred(x: Float[Array, "*s c"]) -> Float[Array, "*s c"]:
    return x - jnp.mean(x, axis=-1, keepdims=True)
