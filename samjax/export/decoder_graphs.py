"""The mask decoder as ONNX: one graph that a click runs, or two of which it runs one.

The two, `prepare` once an image and `prompt` once a click, are for interactive pages.
The one graph has the inputs and outputs of `segment_anything`'s exported decoder, so that
it is a replacement for that file.
"""

from typing import Any, NamedTuple

import jax

from samjax.export.full_size_graph import write_best, write_full_size
from samjax.export.image_graph import (
    DecoderParts,
    ImageValues,
    write_dense,
    write_image,
)
from samjax.export.onnx_graph import Graph, Storage
from samjax.export.prompt_graph import PromptWriter


class Pair(NamedTuple):
    """The two graphs, `onnx.ModelProto` each; outputs of one are inputs of the other."""

    prepare: Any
    prompt: Any


def write_pair(
    decoder: DecoderParts, storage: Storage = "float32", *, takes_text: bool = False
) -> Pair:
    """Writes the graphs of an image and of a click.

    `prepare` takes `image_embeddings` (1, c, h, w), `mask_input` (1, 1, 4h, 4w) and
    `has_mask_input` (1); `prompt` takes what it returns, `point_coords` (1, n, 2) in
    pixels of the model's input and `point_labels` (1, n), and returns `low_res_masks`
    (1, m, 4h, 4w), which are logits, and `iou_predictions` (1, m), of all masks. Where
    a prompt has no box, one point (0, 0) of label -1 belongs to it.

    Args:
        decoder: The decoder.
        storage: How weights are stored.
        takes_text: Whether the graphs take texts, as
            `samjax.export.prompt_text_graph.write_prompt_text` gives them: `prepare`
            then takes `text_dense` (1, c, h, w) too if the model compares texts with
            the image, zeros without a text, and `prompt` `text_tokens` (k, c), with k
            1 for a text and 0 without.
    """
    prepare = Graph("prepare", storage)
    shared = write_image(
        prepare, decoder, _image(prepare, decoder, takes_text=takes_text)
    )
    prompt = Graph("prompt", storage)
    inputs = []
    for name, value, shape in _named(decoder, shared):
        prepare.output(value, name, shape)
        inputs.append(prompt.input(name, shape))
    image = jax.tree.unflatten(jax.tree.structure(shared), inputs)
    coords, labels = _points(prompt)
    text = None
    if takes_text:
        channels = decoder.model.config.prompt_embed_dim
        text = prompt.input("text_tokens", ("texts", channels))
    masks, scores = PromptWriter(prompt, decoder, image).write(coords, labels, text)
    prompt.output(masks, "low_res_masks", _low_res(decoder, decoder.masks))
    prompt.output(scores, "iou_predictions", (1, decoder.masks))
    return Pair(
        prepare.model("The part of the mask decoder that prompts of an image share."),
        prompt.model("The masks of a prompt."),
    )


def write_single(
    decoder: DecoderParts, storage: Storage = "float32", *, best_mask: bool = False
) -> Any:
    """Writes the one graph, `onnx.ModelProto`.

    It takes `image_embeddings`, `mask_input`, `has_mask_input`, `point_coords` and
    `point_labels` as the pair does, and `orig_im_size` (2), height and width of the
    original image. It returns `masks` (1, m, h, w), logits at that size,
    `iou_predictions` (1, m) and `low_res_masks` (1, m, 4h, 4w).

    Args:
        decoder: The decoder.
        storage: How weights are stored.
        best_mask: Whether to return one mask instead of all: for a single point the
            best of the three, else the single mask.
    """
    graph = Graph("decoder", storage)
    image = _image(graph, decoder)
    coords, labels = _points(graph)
    original = graph.input("orig_im_size", (2,))
    shared = write_image(graph, decoder, image)
    masks, scores = PromptWriter(graph, decoder, shared).write(coords, labels)
    count = decoder.masks
    if best_mask:
        count = 1
        masks, scores = write_best(graph, decoder, masks, scores, labels)
    full = write_full_size(graph, decoder, masks, original, count)
    graph.output(full, "masks", (1, count, "height", "width"))
    graph.output(scores, "iou_predictions", (1, count))
    graph.output(masks, "low_res_masks", _low_res(decoder, count))
    return graph.model("The masks of a prompt.")


def _image(graph: Graph, decoder: DecoderParts, *, takes_text: bool = False) -> str:
    (height, width), config = decoder.grid, decoder.model.config
    shape = (1, config.prompt_embed_dim, height, width)
    embedding = graph.input("image_embeddings", shape)
    if takes_text and config.similarity_width:
        embedding = graph.add(embedding, graph.input("text_dense", shape))
    return write_dense(
        graph,
        decoder,
        embedding,
        graph.input("mask_input", _low_res(decoder, 1)),
        graph.input("has_mask_input", (1,)),
    )


def _points(graph: Graph) -> tuple[str, str]:
    coords = graph.input("point_coords", (1, "points", 2))
    return coords, graph.input("point_labels", (1, "points"))


def _low_res(decoder: DecoderParts, count: int) -> tuple[int, int, int, int]:
    height, width = decoder.grid
    return 1, count, 4 * height, 4 * width


def _named(
    decoder: DecoderParts, shared: ImageValues
) -> list[tuple[str, str, tuple[int, ...]]]:
    """Returns the values of a prepared image with names and shapes."""
    heads, positions = decoder.model.config.decoder_num_heads, decoder.positions
    layers = decoder.linear.layers
    depth, width = len(layers), layers[0].keys.embedding.shape[1]
    columns, rows = (heads, width, positions), (heads, positions, width)
    mixed = [matrix.shape[1] for layer in layers for matrix in layer.variance.mixed]
    shapes = {
        "first": (columns, rows, columns),
        "readings": (*(columns, rows, columns) * (depth - 1), columns, rows),
        "squares": ((1, positions),) * depth,
        "mixed": tuple((heads, channels, positions) for channels in mixed),
        "rows": (positions, decoder.linear.upscaled.embedding.shape[1]),
    }
    paths, _ = jax.tree_util.tree_flatten_with_path(shared)
    sizes = jax.tree.leaves(
        [shapes[field] for field in shared._fields], is_leaf=_is_shape
    )
    return [
        (jax.tree_util.keystr(path, simple=True, separator="_"), value, shape)
        for (path, value), shape in zip(paths, sizes, strict=True)
    ]


def _is_shape(value: Any) -> bool:
    return isinstance(value, tuple) and all(isinstance(side, int) for side in value)
