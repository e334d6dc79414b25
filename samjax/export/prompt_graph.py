"""A prompt's masks from what its image shares, as a graph: once a click.

The same function as `Sam.answer` and `Sam.draw_answered`, with the same names. Heads and
tokens are one axis, "j", wherever positions, "s", are the other; a layer's tokens are as
many as the prompt has points, and five more.
"""

from typing import NamedTuple

import numpy as np

from samjax.export.onnx_graph import Graph
from samjax.export.shared_graph import Decoder, SharedValues, write_places
from samjax.export.token_graph import TokenWriter
from samjax.models.amortized.factors import Reading
from samjax.models.layers import DECODER_EPSILON, ENCODER_EPSILON


class Sides(NamedTuple):
    """What the image side of a prompt has of its own.

    Attributes:
        scale: "1 s".
        weights: For every layer so far "j s".
        values: For every layer so far "n t e".
    """

    scale: str
    weights: tuple[str, ...]
    values: tuple[str, ...]


class PromptWriter(TokenWriter):
    """Writes the part of a decoder that is run for every prompt.

    Args:
        graph: To write to.
        decoder: The decoder.
        shared: What its image shares.
    """

    def __init__(self, graph: Graph, decoder: Decoder, shared: SharedValues):
        heads = decoder.model.config.decoder_num_heads
        super().__init__(graph, decoder.params["mask_decoder"], heads)
        self.decoder, self.shared = decoder, shared
        self.places = write_places(graph, decoder)
        self.linear = decoder.linear

    def write(self, points: str, labels: str) -> tuple[str, str]:
        """Writes the answer to a prompt.

        Args:
            points: "1 n 2", (x, y) in pixels of the model's input.
            labels: "1 n", as the release's: -1 is no point.

        Returns:
            Low-res logits "1 m h w" and predicted IoUs "1 m" of all masks.
        """
        tokens, sides = self._attend(self._tokens(points, labels))
        scores = self.head_mlp("iou_prediction_head", self.row(tokens, 0, 1))
        of_masks = [
            self.head_mlp(
                f"output_hypernetworks_mlps_{i}", self.row(tokens, 1 + i, 2 + i)
            )
            for i in range(self.decoder.masks)
        ]
        classifiers = self.graph.concatenate(*of_masks, axis=0)
        return self._draw(sides, classifiers), scores

    def _tokens(self, points: str, labels: str) -> str:
        graph, encoder = self.graph, self.decoder.params["prompt_encoder"]
        height, width = (
            side * self.decoder.model.config.patch_size for side in self.decoder.grid
        )
        places = graph.add(points, graph.constant(0.5))
        signed = graph.op(
            "Sub",
            graph.multiply(places, graph.constant([2.0 / width, 2.0 / height])),
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
        numbers = graph.constant([[-1.0, 0.0, 1.0, 2.0, 3.0]])
        is_kind = graph.op("Cast", graph.op("Equal", labels, numbers), to=1)
        of_kind = graph.matmul(is_kind, graph.constant(np.concatenate(kinds)))
        nowhere = graph.op("Equal", labels, graph.constant(-1.0))
        somewhere = graph.op("Cast", graph.op("Not", nowhere), to=1)
        sparse = graph.add(graph.multiply(waves, somewhere), of_kind)
        outputs = [
            self.params[name]["embedding"] for name in ("iou_token", "mask_tokens")
        ]
        return graph.concatenate(
            graph.constant(np.concatenate(outputs)), sparse, axis=0
        )

    def _attend(self, original: str) -> tuple[str, Sides]:
        graph, transformer = self.graph, self.params["transformer"]
        tokens, sides = original, None
        for i, layer in enumerate(self.linear.transformer.layers):
            names = f"transformer/layers_{i}"
            params = transformer[f"layers_{i}"]
            query = tokens if i == 0 else graph.add(tokens, original)
            found = self.self_attention(f"{names}/self_attn", query, tokens)
            tokens = found if i == 0 else graph.add(tokens, found)
            tokens = self.norm(tokens, params["norm1"])
            found = self._gather_from_image(
                f"{names}/cross_attn_token_to_image",
                graph.add(tokens, original),
                sides,
                layer.from_image,
                self._of_layer(i),
            )
            tokens = self.norm(graph.add(tokens, found), params["norm2"])
            hidden = graph.op("Relu", self.dense(f"{names}/mlp/lin1", tokens))
            hidden = self.dense(f"{names}/mlp/lin2", hidden)
            tokens = self.norm(graph.add(tokens, hidden), params["norm3"])
            sides = self._update(i, names, tokens, original, sides)
        assert sides is not None
        found = self._gather_from_image(
            "transformer/final_attn_token_to_image",
            graph.add(tokens, original),
            sides,
            self.linear.transformer.final,
            (*self.shared.readings[-2:], self.places[-1]),
        )
        tokens = self.norm(graph.add(tokens, found), transformer["norm_final_attn"])
        return tokens, sides

    def _of_layer(self, index: int) -> tuple[str, ...]:
        """Keys, values and the places' keys of a layer; of the first they are one."""
        if index == 0:
            return self.shared.first[:2]
        keys, values, _ = self.shared.readings[3 * index - 3 : 3 * index]
        return keys, values, self.places[2 * index - 2]

    def _gather_from_image(
        self,
        name: str,
        query: str,
        sides: Sides | None,
        readings: tuple[Reading, Reading],
        shared: tuple[str, ...],
    ) -> str:
        graph = self.graph
        keys, values = readings
        q = self.scaled(f"{name}/q_proj", query)
        logits = self._scores(f"{name}/keys", sides, keys, q, shared[0], shared[2:])
        weights = graph.op("Softmax", logits, axis=-1)
        constant = graph.constant(values.constant[:, :, 0][:, None])
        if sides is None:
            attended = graph.add(graph.matmul(weights, shared[1]), constant)
        else:
            scaled = graph.multiply(weights, sides.scale)
            attended = graph.add(graph.matmul(scaled, shared[1]), constant)
            overlaps = graph.op(
                "Gemm",
                graph.reshape(weights, -1, self.decoder.positions),
                graph.concatenate(*sides.weights, axis=0),
                transB=1,
            )
            shares = self._split_rows(overlaps)
            own = self._projected(f"{name}/values", sides, values)
            attended = graph.add(attended, graph.matmul(shares, own))
        return self.dense(f"{name}/out_proj", self.join(attended))

    def _scores(
        self,
        name: str,
        sides: Sides | None,
        reading: Reading,
        vectors: str,
        embedding: str,
        places: tuple[str, ...],
    ) -> str:
        """Products of every position's projection with vectors of tokens: "n t s".

        Without what all positions have in common.
        """
        graph = self.graph
        products = graph.matmul(vectors, embedding)
        if sides is None:
            return products
        own = self._projected(name, sides, reading)
        factors = graph.matmul(vectors, graph.transpose(own, 0, 2, 1))
        return graph.add(
            graph.multiply(products, sides.scale),
            graph.matmul(vectors, places[0]),
            graph.matmul(factors, graph.concatenate(*sides.weights, axis=0)),
        )

    def _update(
        self, index: int, names: str, tokens: str, original: str, sides: Sides | None
    ) -> Sides:
        """Adds to the image side what it gathers from tokens, and normalizes it."""
        graph, name = self.graph, f"{names}/cross_attn_image_to_token"
        layer = self.linear.transformer.layers[index]
        keys = self.scaled(f"{name}/k_proj", graph.add(tokens, original))
        values = self.by_head(self.dense(f"{name}/v_proj", tokens))
        if index == 0:
            queries, places = self.shared.first[2], ()
        else:
            queries = self.shared.readings[3 * index - 1]
            places = self.places[2 * index - 1 : 2 * index]
        logits = self._scores(
            f"{name}/queries", sides, layer.queries, keys, queries, places
        )
        constant = graph.matmul(keys, graph.constant(layer.queries.constant[:, :, :1]))
        weights = graph.softmax(graph.add(logits, constant), 1)
        return self._normalized(index, weights, values, sides)

    def _normalized(
        self, index: int, weights: str, values: str, sides: Sides | None
    ) -> Sides:
        graph, variance = self.graph, self.linear.transformer.layers[index].variance
        all_weights = [graph.reshape(weights, -1, self.decoder.positions)]
        all_values = [self._with_constant(values)]
        squares, scale = self.shared.squares[index], None
        if sides is not None:
            all_weights = [*sides.weights, *all_weights]
            all_values = [*sides.values, *all_values]
            scale = sides.scale
            squares = graph.multiply(scale, scale, squares)
        first = index * (index + 1) // 2
        mixed = self.shared.mixed[first : first + index + 1]
        for i, own in enumerate(all_weights):
            products = graph.matmul(all_values[i], mixed[i])
            products = graph.multiply(products, graph.constant(2.0))
            if scale is not None:
                products = graph.multiply(products, scale)
            products = graph.reshape(products, -1, self.decoder.positions)
            for j, theirs in enumerate(all_weights[: i + 1]):
                # Each product of two layers is taken once, and counted twice.
                times = np.float32(1.0 if i == j else 2.0)
                matrix = times * variance.vectors[i][j]
                between = self._between(
                    f"layers_{index}/between_{i}_{j}",
                    matrix,
                    all_values[i],
                    all_values[j],
                )
                products = graph.add(products, graph.matmul(between, theirs))
            of_own = graph.multiply(own, products)
            squares = graph.add(squares, graph.total("ReduceSum", of_own, 0))
        squares = graph.op("Max", squares, graph.constant(0.0))
        rescale = graph.reciprocal_root(squares, DECODER_EPSILON)
        return Sides(
            scale=rescale if scale is None else graph.multiply(scale, rescale),
            weights=tuple(graph.multiply(each, rescale) for each in all_weights),
            values=tuple(all_values),
        )

    def _between(self, name: str, matrix: np.ndarray, one: str, other: str) -> str:
        """Products of two layers' values: "n t e" and "k u f" to "j l"."""
        graph, heads = self.graph, self.heads
        rows = graph.weight(name, matrix.reshape(*matrix.shape[:2], -1))
        found = graph.reshape(graph.matmul(one, rows), -1, heads, matrix.shape[-1])
        found = graph.matmul(
            graph.transpose(found, 1, 0, 2), graph.transpose(other, 0, 2, 1)
        )
        return graph.reshape(graph.transpose(found, 1, 0, 2), 0, -1)

    def _projected(self, name: str, sides: Sides, reading: Reading) -> str:
        """What every head and token of the layers so far has added: "n j d"."""
        graph, found = self.graph, []
        for i, (values, vectors) in enumerate(
            zip(sides.values, reading.vectors, strict=True)
        ):
            heads, channels, *shape = vectors.shape
            rows = graph.weight(
                f"{name}/vectors_{i}", vectors.reshape(heads, channels, -1)
            )
            own = graph.reshape(graph.matmul(values, rows), -1, *shape)
            found.append(graph.transpose(own, 1, 0, 2))
        return graph.concatenate(*found, axis=1)

    def _with_constant(self, values: str) -> str:
        """Values with one more channel: ones in the first head, zeros in the others."""
        graph = self.graph
        ones = np.zeros((self.heads, 1, 1), np.float32)
        ones[0] = 1.0
        tokens = graph.op("Shape", values, start=1, end=2)
        shape = graph.concatenate(
            graph.integers(self.heads), tokens, graph.integers(1), axis=0
        )
        column = graph.op("Expand", graph.constant(ones), shape)
        return graph.concatenate(values, column, axis=2)

    def _draw(self, sides: Sides, classifiers: str) -> str:
        graph, rows = self.graph, self.linear.upscaling
        height, width = self.decoder.grid
        own = [
            graph.reshape(
                graph.matmul(values, graph.weight(f"upscaling/vectors_{i}", vectors)),
                -1,
                vectors.shape[-1],
            )
            for i, (values, vectors) in enumerate(
                zip(sides.values, rows.vectors, strict=True)
            )
        ]
        # One more row for what every position has: it costs less than a pass over them.
        ones = graph.constant(np.ones((1, self.decoder.positions)))
        features = graph.op(
            "Gemm",
            graph.concatenate(*sides.weights, ones, axis=0),
            graph.concatenate(*own, graph.constant(rows.constant[None]), axis=0),
            graph.multiply(self.shared.rows, graph.reshape(sides.scale, -1, 1)),
            transA=1,
        )
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

    def _split_rows(self, value: str) -> str:
        """ "j l" to "n t l"."""
        columns = self.graph.op("Shape", value, start=1)
        shape = self.graph.concatenate(
            self.graph.integers(self.heads, -1), columns, axis=0
        )
        return self.graph.op("Reshape", value, shape)
