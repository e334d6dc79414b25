"""The factored transformer of the amortized decoder as nodes of an ONNX graph.

The algebra is that of `samjax.models.amortized`; here are its operations. Heads and
tokens are one axis, "j", wherever image positions, "s", are the other, so that a layer
of several products is one matrix product. Tokens are "t c", by head "n t d".
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from samjax.export.onnx_graph import Graph
from samjax.export.token_graph import TokenWriter
from samjax.models.amortized.algebra import FactoredTransformer
from samjax.models.amortized.factors import (
    ProjectedImage,
    PromptFactors,
    UpscaledImage,
)
from samjax.models.layers import DECODER_EPSILON


class GraphTransformer(FactoredTransformer[str]):
    """The algebra in nodes, for one prompt. A value is the name of a node's output.

    Layouts differ from those of JAX arrays where a product wants it:

    - attention weights over tokens are "j s", and so are sums with them;
    - a projection of the values of tokens is "n j d";
    - shared values have positions before channels, "n s d", and a bias "n 1 d";
    - parameters are matrices of two or three axes: `vectors` "k e nd", pairs "n e kf".

    Args:
        graph: To write to.
        params: Parameters of the mask decoder, NumPy arrays.
        heads: Heads of its attentions.
        positions: Positions of the image embedding.
    """

    def __init__(self, graph: Graph, params: Any, heads: int, positions: int):
        self.graph, self.heads, self.positions = graph, heads, positions
        self.tokens = TokenWriter(graph, params, heads)
        self.params = params["transformer"]
        value = self.params["layers_0"]["cross_attn_image_to_token"]["v_proj"]["bias"]
        self.head_channels = len(value) // heads
        self.pixel_channels = 4 * len(params["output_upscaling_0"]["bias"])

    def attend_among_tokens(self, index: int, tokens: str, original: str) -> str:
        """Nodes of the layer's self-attention, residual and norm."""
        name = f"transformer/layers_{index}/self_attn"
        query = tokens if index == 0 else self.add(tokens, original)
        attended = self.tokens.self_attention(name, query, tokens)
        # The first layer has no residual.
        tokens = attended if index == 0 else self.add(tokens, attended)
        return self.tokens.norm(tokens, self.params[f"layers_{index}"]["norm1"])

    def token_queries(self, index: int, tokens: str) -> str:
        """Scaled queries "n t d"."""
        return self.tokens.scaled(f"{self._token_to_image(index)}/q_proj", tokens)

    def update_tokens(self, index: int, tokens: str, attended: str) -> str:
        """Nodes of output projection, norm, MLP and norm."""
        name, params = f"transformer/layers_{index}", self.params[f"layers_{index}"]
        attended = self._project_out(index, attended)
        tokens = self.tokens.norm(self.add(tokens, attended), params["norm2"])
        hidden = self.tokens.dense(f"{name}/mlp/lin1", tokens)
        update = self.tokens.dense(f"{name}/mlp/lin2", self.graph.op("Relu", hidden))
        return self.tokens.norm(self.add(tokens, update), params["norm3"])

    def token_keys_and_values(
        self, index: int, tokens: str, original: str
    ) -> tuple[str, str]:
        """Scaled keys and values "n t d"."""
        name = f"transformer/layers_{index}/cross_attn_image_to_token"
        keys = self.tokens.scaled(f"{name}/k_proj", self.add(tokens, original))
        values = self.tokens.dense(f"{name}/v_proj", tokens)
        return keys, self.tokens.by_head(values)

    def finish_tokens(self, tokens: str, attended: str) -> str:
        """Nodes of the final output projection, residual and norm."""
        attended = self._project_out(self._depth, attended)
        return self.tokens.norm(
            self.add(tokens, attended), self.params["norm_final_attn"]
        )

    @property
    def _depth(self) -> int:
        return sum(name.startswith("layers_") for name in self.params)

    def _token_to_image(self, index: int) -> str:
        if index == self._depth:
            return "transformer/final_attn_token_to_image"
        return f"transformer/layers_{index}/cross_attn_token_to_image"

    def _project_out(self, index: int, attended: str) -> str:
        name = f"{self._token_to_image(index)}/out_proj"
        return self.tokens.dense(name, self.tokens.join(attended))

    def softmax_over_positions(self, scores: str) -> str:
        """Softmax along the last axis."""
        return self.graph.op("Softmax", scores, axis=-1)

    def softmax_over_tokens(self, scores: str) -> str:
        """Softmax along the tokens: "j s"."""
        return self._flat(self.graph.softmax(scores, 1))

    def add(self, *terms: str) -> str:
        """A sum, element by element."""
        return self.graph.add(*terms)

    def multiply(self, *factors: str) -> str:
        """A product, element by element."""
        return self.graph.multiply(*factors)

    def rescale(self, x: str, scale: str) -> str:
        """Multiplies every position with its scale."""
        return self.graph.multiply(x, scale)

    def inverse_deviation(self, variance: str) -> str:
        """Reciprocal square root of the variance plus epsilon."""
        # Rounding may leave a variance of zero slightly negative.
        variance = self.graph.op("Max", variance, self.graph.constant(0.0))
        return self.graph.reciprocal_root(variance, DECODER_EPSILON)

    def multiply_positions(self, vectors: str, image: str, exact: bool = False) -> str:
        """A product per head: "n t s"."""
        return self.graph.matmul(vectors, image)

    def sum_weights(
        self, factors: Sequence[str], weights: Sequence[str], exact: bool = False
    ) -> str:
        """One product for all layers: "n t s", or "j s" of factors "j l"."""
        return self.graph.matmul(
            self.graph.concatenate(*factors, axis=-1),
            self.graph.concatenate(*weights, axis=0),
        )

    def sum_positions(self, weights: str, image: ProjectedImage) -> str:
        """A product per head, plus the bias: "n t d"."""
        assert image.bias is not None
        return self.add(self.graph.matmul(weights, image.embedding), image.bias)

    def sum_overlaps(
        self, weights: str, others: Sequence[str], own: Sequence[str]
    ) -> str:
        """One product for the overlaps of all layers, one with their values."""
        overlaps = self.graph.op(
            "Gemm",
            self._flat(weights),
            self.graph.concatenate(*others, axis=0),
            transB=1,
        )
        # "j l" to "n t l": the number of tokens is known at run time.
        columns = self.graph.op("Shape", overlaps, start=1)
        shape = self.graph.concatenate(
            self.graph.integers(self.heads, -1), columns, axis=0
        )
        overlaps = self.graph.op("Reshape", overlaps, shape)
        return self.graph.matmul(overlaps, self.graph.concatenate(*own, axis=1))

    def sum_tokens(self, weights: str, *products: str) -> str:
        """A sum over the axis "j": "1 s"."""
        total = self.add(*(self._flat(each) for each in products))
        return self.graph.total("ReduceSum", self.graph.multiply(weights, total), 0)

    def sum_pixels(
        self, side: PromptFactors, own: Sequence[str], image: UpscaledImage
    ) -> str:
        """One product for all layers and the bias: "s d"."""
        graph = self.graph
        # The bias as one more row of the product costs less than a pass over its result.
        ones = graph.constant(np.ones((1, self.positions)))
        return graph.op(
            "Gemm",
            graph.concatenate(*side.weights, ones, axis=0),
            graph.concatenate(*own, image.bias, axis=0),
            graph.multiply(image.embedding, graph.reshape(side.scale, -1, 1)),
            transA=1,
        )

    def append_ones(self, values: str) -> str:
        """Appends a channel that is one in the first head and zero in the others."""
        graph = self.graph
        ones = np.zeros((self.heads, 1, 1), np.float32)
        ones[0] = 1.0
        tokens = graph.op("Shape", values, start=1, end=2)
        shape = graph.concatenate(
            graph.integers(self.heads), tokens, graph.integers(1), axis=0
        )
        column = graph.op("Expand", graph.constant(ones), shape)
        return graph.concatenate(values, column, axis=2)

    def project_values(self, values: str, vectors: str) -> str:
        """Projected values "n j d"."""
        own = self.graph.matmul(values, vectors)
        own = self.graph.reshape(own, -1, self.heads, self.head_channels)
        return self.graph.transpose(own, 1, 0, 2)

    def project_to_pixels(self, values: str, vectors: str) -> str:
        """Projected values "j d"."""
        own = self.graph.matmul(values, vectors)
        return self.graph.reshape(own, -1, self.pixel_channels)

    def multiply_values(self, vectors: str, own: str) -> str:
        """Products "n t j"."""
        return self.graph.matmul(vectors, self.graph.transpose(own, 0, 2, 1))

    def multiply_pair(self, values: str, matrix: str, others: str) -> str:
        """Products "j l"."""
        graph = self.graph
        products = graph.reshape(
            graph.matmul(values, matrix), -1, self.heads, self.head_channels + 1
        )
        products = graph.matmul(
            graph.transpose(products, 1, 0, 2), graph.transpose(others, 0, 2, 1)
        )
        return graph.reshape(graph.transpose(products, 1, 0, 2), 0, -1)

    def _flat(self, value: str) -> str:
        """ "n t s" to "j s"."""
        return self.graph.reshape(value, -1, self.positions)
