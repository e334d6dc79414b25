"""What all prompts of an image have in common, as a graph: once an image, or mask prompt.

The image side of a prompt is linear in the image embedding but for one number per
position (`samjax.models.amortized.factors`), so all that the decoder asks of the embedding is
one matrix product. Its matrices are what the model's own code makes of the identity: the
algebra stands there, and only there.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from samjax.export.onnx_graph import Graph
from samjax.models.layers import ENCODER_EPSILON
from samjax.models.mask_decoder import SharedImage
from samjax.models.sam import Sam

Params = Any


class Decoder(NamedTuple):
    """A decoder that is to be written as a graph.

    Attributes:
        model: The model.
        params: Its parameters, NumPy arrays.
        linear: What prompts share where the embedding is the identity, its rows being
            positions: the matrices that are multiplied with the embedding. A
            `SharedImage` of NumPy arrays. What draws has a mean of zero over the
            channels that are normalized next.
        grid: Height and width of the image embedding.
    """

    model: Sam
    params: Params
    linear: Any
    grid: tuple[int, int]

    @property
    def positions(self) -> int:
        """Positions of the image embedding."""
        return self.grid[0] * self.grid[1]

    @property
    def masks(self) -> int:
        """Masks of a prompt."""
        return self.model.config.num_multimask_outputs + 1

    def layer(self, index: int) -> Params:
        """Parameters of a layer of the transformer."""
        return self.params["mask_decoder"]["transformer"][f"layers_{index}"]


class SharedValues(NamedTuple):
    """Names of the values that the prompts of an image share.

    Attributes:
        first: Keys, values and queries of the first layer, which has the embedding
            itself: "n d s", "n s d", "n d s".
        readings: Of the embedding, for the later attentions: keys "n d s", values
            "n s d", queries "n d s", and the last attention's keys and values.
        squares: For every layer "1 s", the variance of the embedding.
        mixed: For every layer, and every layer until it, "n e s".
        rows: "s e", for the first step of drawing, of mean zero over channels.
    """

    first: tuple[str, str, str]
    readings: tuple[str, ...]
    squares: tuple[str, ...]
    mixed: tuple[str, ...]
    rows: str


def read_decoder(model: Sam, params: Params) -> Decoder:
    """Takes a decoder apart, for images of the model's own size."""
    channels = model.config.prompt_embed_dim
    model = model.clone(dtype=jnp.float32)

    def of_identity(model: Sam) -> SharedImage:
        nothing = jnp.zeros((1, 1, 1, 1, channels))
        places = jnp.zeros((channels, 1, channels))
        return model.mask_decoder.share(jnp.eye(channels)[:, None], places, nothing)

    # Products with the identity are to be exact.
    with jax.default_matmul_precision("highest"):
        linear = model.apply(
            {"params": jax.tree.map(jnp.asarray, params)}, method=of_identity
        )
    side = model.config.grid_size
    params, linear = jax.tree.map(np.asarray, (params, linear))
    linear = linear._replace(upscaling=_centred(linear.upscaling, channels // 4))
    return Decoder(model, params, linear, (side, side))


def write_shared(graph: Graph, decoder: Decoder, embedding: str) -> SharedValues:
    """Writes what prompts share.

    Args:
        graph: To write to.
        decoder: The decoder.
        embedding: The image embedding and the dense prompt, their sum: "c s".
    """
    places = _encode_grid(graph, decoder)
    both = graph.add(embedding, places)
    layers, final = decoder.linear.transformer
    depth = len(layers)

    def product(name: str, matrix: np.ndarray, of: str) -> str:
        return _product(graph, name, matrix, of)

    def values(found: str) -> str:
        return graph.transpose(found, 0, 2, 1)

    (keys, value), queries = layers[0].from_image, layers[0].queries
    first = (
        product("layers_0/keys", keys.embedding, both),
        values(product("layers_0/values", value.embedding, embedding)),
        product("layers_0/queries", queries.embedding, both),
    )
    readings = []
    for i in range(1, depth):
        (keys, value), queries = layers[i].from_image, layers[i].queries
        readings += [
            product(f"layers_{i}/keys", keys.embedding, embedding),
            values(product(f"layers_{i}/values", value.embedding, embedding)),
            product(f"layers_{i}/queries", queries.embedding, embedding),
        ]
    keys, value = final
    readings += [
        product("final/keys", keys.embedding, embedding),
        values(product("final/values", value.embedding, embedding)),
    ]
    rows = decoder.linear.upscaling.embedding
    return SharedValues(
        first=first,
        readings=tuple(readings),
        squares=_squares(graph, decoder, embedding),
        mixed=tuple(
            product(f"layers_{i}/mixed_{j}", matrix, embedding)
            for i, layer in enumerate(layers)
            for j, matrix in enumerate(layer.variance.mixed)
        ),
        rows=graph.op("Gemm", embedding, graph.weight("upscaling", rows), transA=1),
    )


def write_places(graph: Graph, decoder: Decoder) -> tuple[str, ...]:
    """Writes what later attentions make of the positional encoding.

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
    places = _encode_grid(graph, decoder)
    found = []
    for name in names:
        params = decoder.params["mask_decoder"]
        for part in name.split("/"):
            params = params[part]
        found.append(
            _product(graph, f"{name}/kernel", _by_head(params["kernel"], heads), places)
        )
    return tuple(found)


def write_dense(
    graph: Graph, decoder: Decoder, embedding: str, mask: str, has_mask: str
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
    found = mask
    for i, norm in ((0, 1), (3, 4), (6, None)):
        layer = params[f"mask_downscaling_{i}"]
        kernel = layer["kernel"].transpose(3, 2, 0, 1)
        found = graph.op(
            "Conv",
            found,
            graph.weight(f"mask_downscaling_{i}/kernel", kernel),
            graph.weight(f"mask_downscaling_{i}/bias", layer["bias"]),
            strides=list(kernel.shape[2:]),
        )
        if norm is not None:
            of_norm = params[f"mask_downscaling_{norm}"]
            found = graph.normalize_channels(found, of_norm, 4, ENCODER_EPSILON)
            found = graph.op("Gelu", found)
    no_mask = params["no_mask_embed"]["embedding"].reshape(1, -1, 1, 1)
    no_mask = graph.constant(no_mask)
    change = graph.op("Sub", found, no_mask)
    dense = graph.add(graph.multiply(change, has_mask), no_mask)
    return graph.reshape(graph.add(embedding, dense), channels, decoder.positions)


def _centred(rows: Any, channels: int) -> Any:
    """`Rows` without the mean over the channels of a pixel, which their norm removes."""

    def centre(array: np.ndarray) -> np.ndarray:
        of_pixels = array.reshape(*array.shape[:-1], -1, channels).astype(np.float64)
        centred = of_pixels - of_pixels.mean(-1, keepdims=True)
        return centred.reshape(array.shape).astype(np.float32)

    return jax.tree.map(centre, rows)


def _product(graph: Graph, name: str, matrix: np.ndarray, of: str) -> str:
    """`matrix` "n d c" times "c s": "n d s"."""
    rows = graph.weight(name, matrix.reshape(-1, matrix.shape[-1]).T)
    found = graph.op("Gemm", rows, of, transA=1)
    return graph.reshape(found, *matrix.shape[:2], -1)


def _by_head(kernel: np.ndarray, heads: int) -> np.ndarray:
    """The kernel of a projection, "n d c"."""
    return kernel.T.reshape(heads, -1, kernel.shape[0])


def _squares(graph: Graph, decoder: Decoder, embedding: str) -> tuple[str, ...]:
    """Mean squares over channels of the embedding, centred anew before every norm."""
    found = []
    depth = decoder.model.config.decoder_depth
    for i in range(depth):
        mean = graph.total("ReduceMean", embedding, 0)
        embedding = graph.op("Sub", embedding, mean)
        found.append(graph.total("ReduceMean", graph.multiply(embedding, embedding), 0))
        scale = decoder.layer(i)["norm4"]["scale"][:, None]
        embedding = graph.multiply(embedding, graph.constant(scale))
    return tuple(found)


def _encode_grid(graph: Graph, decoder: Decoder) -> str:
    """The positional encoding of all positions, "c s", from a row and a column."""
    height, width = decoder.grid
    frequencies = decoder.params["prompt_encoder"]["pe_layer"][
        "positional_encoding_gaussian_matrix"
    ]

    def signed(number: int) -> np.ndarray:
        places = (np.arange(number, dtype=np.float32) + np.float32(0.5)) / number
        return np.float32(2) * places - np.float32(1)

    def phases_along(axis: int, places: np.ndarray) -> str:
        turns = np.float32(2 * np.pi) * frequencies[axis][:, None, None]
        return graph.multiply(graph.constant(turns), graph.constant(places))

    of_columns = phases_along(0, signed(width)[None, None])
    of_rows = phases_along(1, signed(height)[None, :, None])
    phases = graph.add(of_columns, of_rows)
    waves = [graph.op(kind, phases) for kind in ("Sin", "Cos")]
    return graph.reshape(
        graph.concatenate(*waves, axis=0), 2 * frequencies.shape[1], height * width
    )
