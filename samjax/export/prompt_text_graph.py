"""A text as a prompt of the exported decoder, as an ONNX graph: run once per text.

From token ids and an image embedding to the two things that a text is to the decoder: a
token, and the map of where it is true of the image (`samjax.models.text_similarity`), an
addition to the image embedding.
"""

from typing import Any

import jax
import numpy as np

from samjax.export.onnx_graph import Graph, Storage
from samjax.export.text_graph import TextWriter
from samjax.models.layers import ENCODER_EPSILON
from samjax.models.params import TEXT_SIMILARITY, value_at
from samjax.models.text_sam import TextSam
from samjax.models.text_similarity import place_functions


def write_prompt_text(model: TextSam, params: Any, storage: Storage = "float32") -> Any:
    """Writes the graph, `onnx.ModelProto`.

    It takes `tokens` (1, t), int64 ids of the model's tokenizer, and, for models that
    compare texts with the image, `image_embeddings` (1, c, h, w). It returns
    `text_tokens` (1, c), and for such models `text_dense` (1, c, h, w): inputs of
    `samjax.export.decoder_graphs.write_pair` with `takes_text`.

    Args:
        model: A model with text.
        params: Its parameters.
        storage: How weights are stored.
    """
    graph, config = Graph("text", storage), model.config
    vectors, tokens = TextWriter(graph, model, params).embed(1)
    graph.output(tokens, "text_tokens", (1, config.prompt_embed_dim))
    if config.similarity_width:
        side, channels = config.grid_size, config.prompt_embed_dim
        shape = (1, channels, side, side)
        image = graph.input("image_embeddings", shape)
        similarity = jax.tree.map(np.asarray, value_at(params, TEXT_SIMILARITY))
        dense = _write_map(graph, similarity, image, vectors, side, channels)
        graph.output(dense, "text_dense", shape)
    return graph.model("A text as a prompt of the mask decoder.")


def _write_map(
    graph: Graph, params: Any, image: str, vectors: str, side: int, channels: int
) -> str:
    """Writes `TextSimilarity.__call__` for one text and a whole image."""
    cells = graph.transpose(graph.reshape(image, channels, side * side), 1, 0)
    cells = graph.layer_norm(cells, params["norm"], ENCODER_EPSILON)
    hidden = graph.dense("similarity/features", cells, params["features"])
    functions = np.asarray(place_functions((side, side), (side, side)))
    # Six numbers a cell in the file, and not the channels that they give.
    functions = graph.constant(functions.reshape(side * side, -1))
    place = graph.dense("similarity/place", functions, params["place"])
    hidden = graph.op("Gelu", graph.add(hidden, place))
    joint = graph.dense("similarity/joint", hidden, params["joint"])
    squares = graph.total("ReduceSum", graph.multiply(joint, joint), 1)
    joint = graph.multiply(joint, graph.reciprocal_root(squares, 1e-6))
    factor, offset = params["calibration"]
    logits = graph.op("Gemm", joint, vectors, transB=1)
    logits = graph.add(
        graph.multiply(logits, graph.constant(factor)), graph.constant(offset)
    )
    best = graph.total("ReduceMax", logits, 0)
    fifth = graph.constant(0.2)
    seen = graph.concatenate(
        graph.multiply(logits, fifth),
        graph.op("Sigmoid", logits),
        graph.multiply(graph.op("Sub", logits, best), fifth),
        axis=1,
    )
    hidden = graph.dense("similarity/map_hidden", seen, params["map_hidden"])
    dense = graph.dense(
        "similarity/map_output", graph.op("Gelu", hidden), params["map_output"]
    )
    return graph.reshape(graph.transpose(dense, 1, 0), 1, channels, side, side)
