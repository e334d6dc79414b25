"""Masks at the size of the original image, as a graph, and the choice of one of them.

As in `segment_anything`'s exported decoder, masks are logits at the size of the original
image.
"""

from samjax.export.image_graph import DecoderParts
from samjax.export.onnx_graph import Graph


def write_full_size(
    graph: Graph, decoder: DecoderParts, masks: str, original: str, count: int
) -> str:
    """Resizes low-res logits to the model's input, cuts off its padding, and resizes.

    Args:
        graph: To write to.
        decoder: The decoder.
        masks: "1 m 4*gh 4*gw".
        original: "2", height and width of the original image.
        count: Number of masks, m.

    Returns:
        "1 m h w".
    """
    integers = graph.integers
    side = decoder.model.config.image_size
    longest = graph.op("ReduceMax", original, integers(0), keepdims=1)
    scale = graph.op("Div", graph.constant([float(side)]), longest)
    resized = graph.add(graph.multiply(scale, original), graph.constant(0.5))
    # To int64: whole numbers of pixels without padding.
    resized = graph.op("Cast", graph.op("Floor", resized), to=7)
    whole = _resize(graph, masks, integers(1, count, side, side))
    unpadded = graph.op("Slice", whole, integers(0, 0), resized, integers(2, 3))
    size = graph.op("Cast", original, to=7)
    return _resize(graph, unpadded, graph.concatenate(integers(1, count), size, axis=0))


def write_best(
    graph: Graph, decoder: DecoderParts, masks: str, scores: str, labels: str
) -> tuple[str, str]:
    """Selects a mask: for a single point the best of the three, else the single mask.

    Args:
        graph: To write to.
        decoder: The decoder.
        masks: "1 m i j".
        scores: "1 m".
        labels: "1 n". A single point has a second label, of the padding point that a
            prompt without box has.

    Returns:
        The mask and its score, with m = 1.
    """
    others = decoder.model.config.num_multimask_outputs
    points = graph.op("Cast", graph.op("Shape", labels, start=1), to=1)
    favour = graph.op("Sub", points, graph.constant(2.5))
    favour = graph.multiply(favour, graph.constant([[1000.0] + [0.0] * others]))
    best = graph.op("ArgMax", graph.add(scores, favour), axis=1, keepdims=0)
    return (
        graph.op("Gather", masks, best, axis=1),
        graph.op("Gather", scores, best, axis=1),
    )


def _resize(graph: Graph, value: str, size: str) -> str:
    return graph.op(
        "Resize",
        value,
        "",
        "",
        size,
        mode="linear",
        coordinate_transformation_mode="half_pixel",
    )
