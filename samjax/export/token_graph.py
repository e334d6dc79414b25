"""Layers of the mask decoder on its tokens, as nodes of an ONNX graph.

Values are "t c", or by head "n t d". Names are those of the parameters.
"""

from typing import Any

import numpy as np

from samjax.export.onnx_graph import Graph
from samjax.models.layers import DECODER_EPSILON


class TokenWriter:
    """Writes layers on tokens.

    Args:
        graph: To write to.
        params: Parameters of the mask decoder, NumPy arrays.
        heads: Heads of its attentions.
    """

    def __init__(self, graph: Graph, params: Any, heads: int):
        self.graph, self.params, self.heads = graph, params, heads

    def self_attention(self, name: str, query: str, value: str) -> str:
        """Self-attention; `query` is the input of the keys too."""
        graph = self.graph
        q = self.scaled(f"{name}/q_proj", query)
        k = self.by_head(self.dense(f"{name}/k_proj", query))
        v = self.by_head(self.dense(f"{name}/v_proj", value))
        logits = graph.matmul(q, graph.transpose(k, 0, 2, 1))
        attended = graph.matmul(graph.op("Softmax", logits, axis=-1), v)
        return self.dense(f"{name}/out_proj", self.join(attended))

    def head_mlp(self, name: str, value: str) -> str:
        """Three dense layers with ReLU between them."""
        for i in range(3):
            value = self.dense(f"{name}/layers_{i}", value)
            if i < 2:
                value = self.graph.op("Relu", value)
        return value

    def dense(self, name: str, value: str) -> str:
        """A dense layer."""
        return self.graph.dense(name, value, self._params_of(name))

    def norm(self, value: str, params: dict[str, np.ndarray]) -> str:
        """A normalization over channels."""
        return self.graph.layer_norm(value, params, DECODER_EPSILON)

    def by_head(self, value: str) -> str:
        """ "t c" to "n t d"."""
        value = self.graph.reshape(value, 0, self.heads, -1)
        return self.graph.transpose(value, 1, 0, 2)

    def scaled(self, name: str, value: str) -> str:
        """Queries, or keys, by head, divided by the root of their width."""
        width = self._params_of(name)["bias"].shape[0] // self.heads
        value = self.by_head(self.dense(name, value))
        return self.graph.multiply(value, self.graph.constant(width**-0.5))

    def join(self, value: str) -> str:
        """ "n t d" to "t c"."""
        return self.graph.reshape(self.graph.transpose(value, 1, 0, 2), 0, -1)

    def row(self, value: str, first: int, end: int) -> str:
        """Some of the tokens."""
        integers = self.graph.integers
        return self.graph.op(
            "Slice", value, integers(first), integers(end), integers(0)
        )

    def _params_of(self, name: str) -> Any:
        params = self.params
        for part in name.split("/"):
            params = params[part]
        return params
