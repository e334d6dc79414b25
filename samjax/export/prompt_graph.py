"""The masks of one prompt over a prepared image, as a graph: run once per click.

The same function as `AmortizedDecoder.decode_prompts`, by the same algebra. A layer's
tokens are as many as the prompt has points, and one more per output token.
"""

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

    def write(self, points: str, labels: str) -> tuple[str, str]:
        """Writes the masks of a prompt.

        Args:
            points: "1 n 2", (x, y) in pixels of the model's input.
            labels: "1 n", as the release's: -1 is no point.

        Returns:
            Low-res logits "1 m h w" and predicted IoUs "1 m" of all masks.
        """
        tokens, side = self.transformer.run(self.image, self._tokens(points, labels))
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

    def _tokens(self, points: str, labels: str) -> str:
        """Writes the prompt encoder: output tokens, then a token per point, "t c"."""
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
        return graph.concatenate(
            graph.constant(np.concatenate(outputs)), sparse, axis=0
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
    """Puts values of the image, and weights for its factors, where the algebra reads."""
    linear, depth = decoder.linear, len(decoder.linear.layers)
    positions = write_positions(graph, decoder)

    def projected(name, part, embedding, at_positions=None, bias=None):
        return ProjectedImage(
            embedding,
            at_positions,
            tuple(
                # "k e n d": one matrix per head k.
                graph.weight(f"{name}/vectors_{i}", v.reshape(*v.shape[:2], -1))
                for i, v in enumerate(part.vectors)
            ),
            None if bias is None else graph.constant(bias),
        )

    def projected_values(name, part, embedding):
        # "n 1 d", as values have positions before channels.
        return projected(name, part, embedding, bias=part.bias.swapaxes(1, 2))

    layers = []
    for i, layer in enumerate(linear.layers):
        name = f"transformer/layers_{i}"
        # The first layer's embedding includes the positional encoding.
        keys, values, queries = (
            shared.first if i == 0 else shared.readings[3 * i - 3 : 3 * i]
        )
        of_keys, of_queries = (None, None) if i == 0 else positions[2 * i - 2 : 2 * i]
        to_image = f"{name}/cross_attn_token_to_image"
        to_tokens = f"{name}/cross_attn_image_to_token"
        first = i * (i + 1) // 2
        variance = VarianceFactors(
            squares=shared.squares[i],
            mixed=shared.mixed[first : first + i + 1],
            pairs=tuple(
                tuple(
                    graph.weight(
                        f"layers_{i}/between_{j}_{k}", m.reshape(*m.shape[:2], -1)
                    )
                    for k, m in enumerate(matrices)
                )
                for j, matrices in enumerate(layer.variance.pairs)
            ),
        )
        layers.append(
            PreparedLayer(
                projected(f"{to_image}/keys", layer.keys, keys, of_keys),
                projected_values(f"{to_image}/values", layer.values, values),
                projected(
                    f"{to_tokens}/queries",
                    layer.queries,
                    queries,
                    of_queries,
                    layer.queries.bias,
                ),
                variance,
            )
        )
    name, upscaled = "transformer/final_attn_token_to_image", linear.upscaled
    keys, values = shared.readings[3 * depth - 3 :]
    return PreparedImage(
        layers=tuple(layers),
        final_keys=projected(f"{name}/keys", linear.final_keys, keys, positions[-1]),
        final_values=projected_values(f"{name}/values", linear.final_values, values),
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
