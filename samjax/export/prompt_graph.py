"""The masks of one prompt over a prepared image, as a graph: run once per click.

The same function as `AmortizedDecoder.decode_prompts`, by the same algebra. A layer's
tokens are as many as the prompt has points, and one more per output token.
"""

from collections.abc import Sequence

import numpy as np

from samjax.export.factored_graph import GraphTransformer
from samjax.export.image_graph import DecoderParts, ImageValues, write_positions
from samjax.export.onnx_graph import Graph
from samjax.export.token_graph import TokenWriter
from samjax.models.amortized.factors import (
    PreparedImage,
    PreparedLayer,
    ProjectedImage,
    UpscaledImage,
    VarianceFactors,
)
from samjax.models.layers import ENCODER_EPSILON


class PromptWriter:
    """Writes the part of a decoder that is run for every prompt.

    Args:
        graph: To write to.
        decoder: The decoder.
        shared: Values of the prepared image.
    """

    def __init__(self, graph: Graph, decoder: DecoderParts, shared: ImageValues):
        self.graph, self.decoder = graph, decoder
        self.params = decoder.params["mask_decoder"]
        heads = decoder.model.config.decoder_num_heads
        self.token_writer = TokenWriter(graph, self.params, heads)
        self.transformer = GraphTransformer(
            graph, self.params, heads, decoder.positions
        )
        self.image = _name_image(graph, decoder, shared)

    def write(
        self, points: str, labels: str, text: str | None = None
    ) -> tuple[str, str]:
        """Writes the masks of a prompt.

        Args:
            points: "1 n 2", (x, y) in pixels of the model's input.
            labels: "1 n", as the release's: -1 is no point.
            text: "k c", the tokens of texts, which come before those of points; None
                for a graph without texts.

        Returns:
            Low-res logits "1 m h w" and predicted IoUs "1 m" of all masks.
        """
        prompt = self._tokens(points, labels, text)
        tokens, side = self.transformer.run(self.image, prompt)
        writer = self.token_writer
        scores = writer.head_mlp("iou_prediction_head", writer.row(tokens, 0, 1))
        classifiers = [
            writer.head_mlp(
                f"output_hypernetworks_mlps_{i}", writer.row(tokens, 1 + i, 2 + i)
            )
            for i in range(self.decoder.masks)
        ]
        pixels = self.transformer.write_pixels(side, self.image.upscaled)
        return self._draw(pixels, self.graph.concatenate(*classifiers, axis=0)), scores

    def _tokens(self, points: str, labels: str, text: str | None) -> str:
        """Writes the prompt encoder: tokens of outputs, texts and points, "t c"."""
        graph, encoder = self.graph, self.decoder.params["prompt_encoder"]
        height, width = (
            side * self.decoder.model.config.patch_size for side in self.decoder.grid
        )
        centres = graph.add(points, graph.constant(0.5))
        signed = graph.op(
            "Sub",
            graph.multiply(centres, graph.constant([2.0 / width, 2.0 / height])),
            graph.constant(1.0),
        )
        frequencies = encoder["pe_layer"]["positional_encoding_gaussian_matrix"]
        turned = graph.constant(np.float32(2 * np.pi) * frequencies)
        phases = graph.matmul(graph.reshape(signed, -1, 2), turned)
        waves = graph.concatenate(
            graph.op("Sin", phases), graph.op("Cos", phases), axis=1
        )
        labels = graph.reshape(labels, -1, 1)
        kinds = [encoder["not_a_point_embed"]["embedding"]]
        kinds += [encoder[f"point_embeddings_{i}"]["embedding"] for i in range(4)]
        codes = graph.constant([[-1.0, 0.0, 1.0, 2.0, 3.0]])
        is_kind = graph.op("Cast", graph.op("Equal", labels, codes), to=1)
        kind_embedding = graph.matmul(is_kind, graph.constant(np.concatenate(kinds)))
        is_padding = graph.op("Equal", labels, graph.constant(-1.0))
        is_point = graph.op("Cast", graph.op("Not", is_padding), to=1)
        sparse = graph.add(graph.multiply(waves, is_point), kind_embedding)
        outputs = [
            self.params[name]["embedding"] for name in ("iou_token", "mask_tokens")
        ]
        texts = [] if text is None else [text]
        return graph.concatenate(
            graph.constant(np.concatenate(outputs)), *texts, sparse, axis=0
        )

    def _draw(self, features: str, classifiers: str) -> str:
        """Finishes upscaling and classifies pixels, of features without a mean."""
        graph, (height, width) = self.graph, self.decoder.grid
        norm = self.params["output_upscaling_1"]
        channels = norm["scale"].shape[0]
        features = graph.reshape(features, -1, channels)
        features = graph.rescale_channels(features, norm, 2, ENCODER_EPSILON)
        features = graph.op("Gelu", features)
        upscale = self.params["output_upscaling_3"]
        kernel = upscale["kernel"].reshape(channels, -1)
        features = graph.add(
            graph.matmul(features, graph.weight("output_upscaling_3/kernel", kernel)),
            graph.constant(np.tile(upscale["bias"], 4)),
        )
        features = graph.reshape(features, -1, upscale["bias"].shape[0])
        features = graph.op("Gelu", features)
        logits = graph.op("Gemm", classifiers, features, transB=1)
        masks = self.decoder.masks
        logits = graph.reshape(logits, masks * height, width, 2, 2, 2, 2)
        # Rows of a position's pixels beside its row, columns beside its column.
        logits = graph.transpose(logits, 0, 2, 4, 1, 3, 5)
        return graph.reshape(logits, 1, masks, 4 * height, 4 * width)


def _name_image(
    graph: Graph, decoder: DecoderParts, shared: ImageValues
) -> PreparedImage:
    """Returns the prepared image as the algebra reads it, of names of the graph.

    Its projections of the embedding are values of the image's graph; those of the
    positional encoding and all that tokens are multiplied with are written here.
    """
    linear, depth = decoder.linear, len(decoder.linear.layers)
    positions = write_positions(graph, decoder)
    layers = tuple(
        _name_layer(
            graph,
            i,
            layer,
            shared,
            # The first layer's embedding includes the positional encoding.
            (None, None) if i == 0 else positions[2 * i - 2 : 2 * i],
        )
        for i, layer in enumerate(linear.layers)
    )
    name, upscaled = "transformer/final_attn_token_to_image", linear.upscaled
    keys, values = shared.readings[3 * depth - 3 :]
    return PreparedImage(
        layers=layers,
        final_keys=_name_projection(
            graph, f"{name}/keys", linear.final_keys, keys, positions[-1]
        ),
        final_values=_name_values(graph, f"{name}/values", linear.final_values, values),
        upscaled=UpscaledImage(
            shared.rows,
            tuple(
                graph.weight(f"upscaling/vectors_{i}", vectors)
                for i, vectors in enumerate(upscaled.vectors)
            ),
            graph.constant(upscaled.bias[None]),
        ),
        grid=decoder.grid,
    )


def _name_layer(
    graph: Graph,
    index: int,
    layer: PreparedLayer,
    shared: ImageValues,
    positions: Sequence[str | None],
) -> PreparedLayer:
    keys, values, queries = (
        shared.first if index == 0 else shared.readings[3 * index - 3 : 3 * index]
    )
    positions_of_keys, positions_of_queries = positions
    to_image = f"transformer/layers_{index}/cross_attn_token_to_image"
    to_tokens = f"transformer/layers_{index}/cross_attn_image_to_token"
    first = index * (index + 1) // 2
    return PreparedLayer(
        keys=_name_projection(
            graph, f"{to_image}/keys", layer.keys, keys, positions_of_keys
        ),
        values=_name_values(graph, f"{to_image}/values", layer.values, values),
        queries=_name_projection(
            graph, f"{to_tokens}/queries", layer.queries, queries, positions_of_queries
        ),
        variance=VarianceFactors(
            squares=shared.squares[index],
            mixed=shared.mixed[first : first + index + 1],
            pairs=tuple(
                tuple(
                    graph.weight(f"layers_{index}/between_{i}_{j}", _by_head(matrix))
                    for j, matrix in enumerate(matrices)
                )
                for i, matrices in enumerate(layer.variance.pairs)
            ),
        ),
    )


def _name_values(
    graph: Graph, name: str, part: ProjectedImage, embedding: str
) -> ProjectedImage:
    """Values have positions before channels, and so has their bias: "n 1 d"."""
    assert part.bias is not None
    part = part._replace(bias=part.bias.swapaxes(1, 2))
    return _name_projection(graph, name, part, embedding)


def _name_projection(
    graph: Graph,
    name: str,
    part: ProjectedImage,
    embedding: str,
    positions: str | None = None,
) -> ProjectedImage:
    return ProjectedImage(
        embedding,
        positions,
        tuple(
            graph.weight(f"{name}/vectors_{i}", _by_head(vectors))
            for i, vectors in enumerate(part.vectors)
        ),
        None if part.bias is None else graph.constant(part.bias),
    )


def _by_head(array: np.ndarray) -> np.ndarray:
    """ "k e ..." as one matrix per head k."""
    return array.reshape(*array.shape[:2], -1)
