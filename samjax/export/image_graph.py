"""The prepared image of the amortized decoder as a graph: run once per image.

The part of the decoder that prompts share is linear in the image embedding but for one
number per position (`samjax.models.amortized.factors`), so that it is one matrix product
with the embedding. Its matrices are read off the identity: the model's own code prepares
an "image" whose embedding is the identity matrix.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from samjax.export.onnx_graph import Graph
from samjax.models.amortized.decoder import prepare_decoder
from samjax.models.amortized.factors import PreparedImage
from samjax.models.layers import ENCODER_EPSILON
from samjax.models.sam import Sam

Params = Any


class DecoderParts(NamedTuple):
    """A decoder that is to be written as a graph.

    Attributes:
        model: The model.
        params: Its parameters, NumPy arrays.
        linear: The image whose embedding is the identity, prepared without positions:
            NumPy arrays, of which each `embedding` is the matrix that is multiplied
            with a real embedding. Pixels have a mean of zero over the channels that are
            normalized next.
        grid: Height and width of the image embedding.
    """

    model: Sam
    params: Params
    linear: PreparedImage
    grid: tuple[int, int]

    @property
    def positions(self) -> int:
        """Number of positions of the image embedding."""
        return self.grid[0] * self.grid[1]

    @property
    def masks(self) -> int:
        """Number of masks of a prompt."""
        return self.model.config.num_multimask_outputs + 1

    def layer(self, index: int) -> Params:
        """Parameters of a layer of the transformer."""
        return self.params["mask_decoder"]["transformer"][f"layers_{index}"]


class ImageValues(NamedTuple):
    """Values of a prepared image, by the names that they have in the graph's file.

    Attributes:
        first: Keys, values and queries of the first layer, whose keys and queries
            include the positional encoding: "n d s", "n s d", "n d s".
        readings: The same without positions of every later layer, and keys and values
            of the final attention.
        squares: For every layer "1 s", mean square of the embedding.
        mixed: For every layer, and every layer until it, "n e s".
        rows: "s e", for the first step of upscaling, of mean zero over channels.
    """

    first: tuple[str, str, str]
    readings: tuple[str, ...]
    squares: tuple[str, ...]
    mixed: tuple[str, ...]
    rows: str


def read_decoder(model: Sam, params: Params) -> DecoderParts:
    """Reads the matrices of a decoder, for images of the model's own size."""
    channels = model.config.prompt_embed_dim
    model = model.clone(dtype=jnp.float32)

    def prepare_identity(model: Sam) -> PreparedImage:
        no_positions = jnp.zeros((channels, 1, channels))
        identity = jnp.eye(channels)[:, None]
        return prepare_decoder(model.mask_decoder, identity, no_positions)

    # Products with the identity are to be exact.
    with jax.default_matmul_precision("highest"):
        linear = model.apply(
            {"params": jax.tree.map(jnp.asarray, params)}, method=prepare_identity
        )
    side = model.config.grid_size
    params, linear = jax.tree.map(np.asarray, (params, linear))
    # The next norm subtracts the mean over a pixel's channels: it is linear, and
    # subtracted from the matrices it costs nothing in the graph.
    upscaled = jax.tree.map(lambda x: _centre(x, channels // 4), linear.upscaled)
    linear = dataclasses.replace(linear, upscaled=upscaled)
    return DecoderParts(model, params, linear, (side, side))


def write_image(graph: Graph, decoder: DecoderParts, embedding: str) -> ImageValues:
    """Writes the preparation of an image.

    Args:
        graph: To write to.
        decoder: The decoder.
        embedding: The image embedding and the dense prompt, their sum: "c s".
    """
    linear = decoder.linear
    located = graph.add(embedding, _encode_grid(graph, decoder))

    def product(name: str, part: Any, image: str) -> str:
        return _product(graph, name, part.embedding, image)

    def values(name: str, part: Any) -> str:
        # Positions before channels, as the sum over positions reads them.
        return graph.transpose(product(name, part, embedding), 0, 2, 1)

    by_layer = []
    for i, layer in enumerate(linear.layers):
        # The first layer's projections include the positions, as in `factors`.
        image = located if i == 0 else embedding
        by_layer.append(
            (
                product(f"layers_{i}/keys", layer.keys, image),
                values(f"layers_{i}/values", layer.values),
                product(f"layers_{i}/queries", layer.queries, image),
            )
        )
    final = (
        product("final/keys", linear.final_keys, embedding),
        values("final/values", linear.final_values),
    )
    pixels = graph.weight("upscaling", linear.upscaled.embedding)
    return ImageValues(
        first=by_layer[0],
        readings=(*(value for layer in by_layer[1:] for value in layer), *final),
        squares=_squares(graph, decoder, embedding),
        mixed=tuple(
            _product(graph, f"layers_{i}/mixed_{j}", matrix, embedding)
            for i, layer in enumerate(linear.layers)
            for j, matrix in enumerate(layer.variance.mixed)
        ),
        rows=graph.op("Gemm", embedding, pixels, transA=1),
    )


def write_positions(graph: Graph, decoder: DecoderParts) -> tuple[str, ...]:
    """Writes the positional encoding as later attentions project it.

    It depends on parameters alone: a runtime computes it when it reads the graph.

    Returns:
        "n d s": keys and queries of the later layers, and the last attention's keys.
    """
    heads = decoder.model.config.decoder_num_heads
    names = [
        f"transformer/layers_{i}/{attention}"
        for i in range(1, decoder.model.config.decoder_depth)
        for attention in (
            "cross_attn_token_to_image/k_proj",
            "cross_attn_image_to_token/q_proj",
        )
    ]
    names.append("transformer/final_attn_token_to_image/k_proj")
    encoding = _encode_grid(graph, decoder)
    projected = []
    for name in names:
        params = decoder.params["mask_decoder"]
        for part in name.split("/"):
            params = params[part]
        kernel = _by_head(params["kernel"], heads)
        projected.append(_product(graph, f"{name}/kernel", kernel, encoding))
    return tuple(projected)


def write_dense(
    graph: Graph, decoder: DecoderParts, embedding: str, mask: str, has_mask: str
) -> str:
    """Adds the dense prompt to the image embedding.

    Args:
        graph: To write to.
        decoder: The decoder.
        embedding: "1 c gh gw".
        mask: "1 1 4*gh 4*gw", logits of a mask prompt.
        has_mask: "1", 1 where there is one and 0 where there is none.

    Returns:
        "c s".
    """
    params = decoder.params["prompt_encoder"]
    channels = decoder.model.config.prompt_embed_dim
    dense = mask
    for i, norm in ((0, 1), (3, 4), (6, None)):
        layer = params[f"mask_downscaling_{i}"]
        kernel = layer["kernel"].transpose(3, 2, 0, 1)
        dense = graph.op(
            "Conv",
            dense,
            graph.weight(f"mask_downscaling_{i}/kernel", kernel),
            graph.weight(f"mask_downscaling_{i}/bias", layer["bias"]),
            strides=list(kernel.shape[2:]),
        )
        if norm is not None:
            norm_params = params[f"mask_downscaling_{norm}"]
            dense = graph.normalize_channels(dense, norm_params, 4, ENCODER_EPSILON)
            dense = graph.op("Gelu", dense)
    no_mask = params["no_mask_embed"]["embedding"].reshape(1, -1, 1, 1)
    no_mask = graph.constant(no_mask)
    change = graph.op("Sub", dense, no_mask)
    dense = graph.add(graph.multiply(change, has_mask), no_mask)
    return graph.reshape(graph.add(embedding, dense), channels, decoder.positions)


def _centre(array: np.ndarray, channels: int) -> np.ndarray:
    """Subtracts the mean over the channels of each pixel along the last axis."""
    by_pixel = array.reshape(*array.shape[:-1], -1, channels).astype(np.float64)
    centred = by_pixel - by_pixel.mean(-1, keepdims=True)
    return centred.reshape(array.shape).astype(np.float32)


def _product(graph: Graph, name: str, matrix: np.ndarray, image: str) -> str:
    """`matrix` "n d c" times "c s": "n d s"."""
    rows = graph.weight(name, matrix.reshape(-1, matrix.shape[-1]).T)
    product = graph.op("Gemm", rows, image, transA=1)
    return graph.reshape(product, *matrix.shape[:2], -1)


def _by_head(kernel: np.ndarray, heads: int) -> np.ndarray:
    """The kernel of a projection, "n d c"."""
    return kernel.T.reshape(heads, -1, kernel.shape[0])


def _squares(graph: Graph, decoder: DecoderParts, embedding: str) -> tuple[str, ...]:
    """Writes the mean squares over channels of the embedding before every norm.

    The only part that is quadratic in the embedding. Centring the embedding anew is
    much less than the product with a matrix that would do it.
    """
    squares = []
    for i in range(len(decoder.linear.layers)):
        mean = graph.total("ReduceMean", embedding, 0)
        embedding = graph.op("Sub", embedding, mean)
        square = graph.multiply(embedding, embedding)
        squares.append(graph.total("ReduceMean", square, 0))
        scale = decoder.layer(i)["norm4"]["scale"][:, None]
        embedding = graph.multiply(embedding, graph.constant(scale))
    return tuple(squares)


def _encode_grid(graph: Graph, decoder: DecoderParts) -> str:
    """Writes the positional encoding of the grid, "c s", from a row and a column."""
    height, width = decoder.grid
    frequencies = decoder.params["prompt_encoder"]["pe_layer"][
        "positional_encoding_gaussian_matrix"
    ]

    def centres(count: int) -> np.ndarray:
        """Cell centres along an axis, from -1 to 1."""
        cells = (np.arange(count, dtype=np.float32) + np.float32(0.5)) / count
        return np.float32(2) * cells - np.float32(1)

    def phases_along(axis: int, coordinates: np.ndarray) -> str:
        turns = np.float32(2 * np.pi) * frequencies[axis][:, None, None]
        return graph.multiply(graph.constant(turns), graph.constant(coordinates))

    phases = graph.add(
        phases_along(0, centres(width)[None, None]),
        phases_along(1, centres(height)[None, :, None]),
    )
    waves = [graph.op(kind, phases) for kind in ("Sin", "Cos")]
    return graph.reshape(
        graph.concatenate(*waves, axis=0), 2 * frequencies.shape[1], height * width
    )
