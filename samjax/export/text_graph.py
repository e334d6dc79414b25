"""The text tower as an ONNX graph, from token ids to vectors and prompt tokens.

Texts are "n t c". Token ids come from the tokenizer, which is no part of the graph.
"""

from typing import Any

import jax
import numpy as np

from samjax.export.onnx_graph import Graph, Storage
from samjax.models.clip.towers import EPSILON
from samjax.models.params import TEXT_ENCODER, TEXT_PROJECTION, value_at
from samjax.models.siglip.text_tower import EPSILON as SIGLIP_EPSILON
from samjax.models.text_sam import TextSam


def write_text_tower(model: TextSam, params: Any, storage: Storage = "float32") -> Any:
    """Writes the text tower and the projection, `onnx.ModelProto`.

    It takes `tokens` (n, t), int64 ids of the model's tokenizer, rows of its context
    length as the tokenizer pads them, and returns `text` (n, e), vectors of length
    1, and `prompt_tokens` (n, c), the prompt token of each (SAM, appendix D.5).

    Args:
        model: A model with text.
        params: Its parameters.
        storage: How weights are stored.
    """
    writer = TextWriter(Graph("text", storage), model, params)
    return writer.write().model("Vectors and prompt tokens of texts.")


class TextWriter:
    """Writes a text tower.

    Args:
        graph: To write to.
        model: A model with text.
        params: Its parameters.
    """

    def __init__(self, graph: Graph, model: TextSam, params: Any):
        self.graph, self.config = graph, model.config
        self.reads_end = model.reads_end
        self.epsilon = EPSILON if model.reads_end else SIGLIP_EPSILON
        self.params = jax.tree.map(np.asarray, params[TEXT_ENCODER])
        projection = value_at(params, TEXT_PROJECTION)
        self.projection = jax.tree.map(np.asarray, projection)

    def write(self) -> Graph:
        """Writes the whole tower."""
        graph, config = self.graph, self.config
        vectors, tokens = self.embed("texts")
        graph.output(vectors, "text", ("texts", config.text_embed_dim))
        graph.output(tokens, "prompt_tokens", ("texts", config.prompt_embed_dim))
        return graph

    def embed(self, texts: int | str) -> tuple[str, str]:
        """Writes the tower without outputs.

        Args:
            texts: Number of texts, or a name for any.

        Returns:
            Vectors of length 1 (n, e), and prompt tokens (n, c).
        """
        graph, config, params = self.graph, self.config, self.params
        length = config.context_length
        tokens = graph.input("tokens", (texts, length), is_integer=True)
        # By row in int8: a row of the table is a channel.
        table = params["token_embedding"]["embedding"]
        table = graph.transpose(graph.weight("token_embedding", table.T), 1, 0)
        x = graph.op("Gather", table, tokens, axis=0)
        positions = graph.constant(params["positional_embedding"][None])
        x = graph.add(x, positions)
        hidden = np.triu(np.full((length, length), -np.inf, np.float32), 1)
        causal = graph.constant(hidden[None, None]) if self.reads_end else None
        for index in range(config.text_depth):
            x = self._block(x, f"resblocks_{index}", causal)
        x = self._read_out(x, tokens)
        x = graph.layer_norm(x, params["ln_final"], self.epsilon)
        if self.reads_end:
            weight = graph.weight("text_projection", params["text_projection"])
            vectors = graph.matmul(x, weight)
        else:
            vectors = graph.dense("head", x, params["head"])
        squares = graph.total("ReduceSum", graph.multiply(vectors, vectors), 1)
        vectors = graph.multiply(vectors, graph.reciprocal_root(squares, 1e-12))
        return vectors, graph.dense("projection", vectors, self.projection)

    def _read_out(self, x: str, tokens: str) -> str:
        """Returns the token at the end of each text; SigLIP's is the last position."""
        graph = self.graph
        if not self.reads_end:
            last = graph.integers(self.config.context_length - 1)
            x = graph.op("Gather", x, last, axis=1)
            return graph.op("Squeeze", x, graph.integers(1))
        # The end token has the highest id; ArgMax gives the first of several.
        end = graph.op("ArgMax", tokens, axis=1, keepdims=1)
        end = graph.op("Unsqueeze", end, graph.integers(2))
        width = graph.integers(1, 1, self.config.text_width)
        x = graph.op("GatherElements", x, graph.op("Expand", end, width), axis=1)
        return graph.op("Squeeze", x, graph.integers(1))

    def _block(self, x: str, name: str, causal: str | None) -> str:
        graph, params = self.graph, self.params["transformer"][name]
        update = graph.layer_norm(x, params["ln_1"], self.epsilon)
        x = graph.add(x, self._attention(update, name, causal))
        update = graph.layer_norm(x, params["ln_2"], self.epsilon)
        hidden = graph.dense(f"{name}/c_fc", update, params["mlp"]["c_fc"])
        if not self.reads_end:
            hidden = graph.op("Gelu", hidden, approximate="tanh")
        elif self.config.quick_gelu:
            steep = graph.multiply(hidden, graph.constant(1.702))
            hidden = graph.multiply(hidden, graph.op("Sigmoid", steep))
        else:
            hidden = graph.op("Gelu", hidden)
        return graph.add(
            x, graph.dense(f"{name}/c_proj", hidden, params["mlp"]["c_proj"])
        )

    def _attention(self, x: str, name: str, causal: str | None) -> str:
        graph, config = self.graph, self.config
        params = self.params["transformer"][name]["attn"]
        heads, length = config.text_heads, config.context_length
        width = config.text_width // heads
        fused = {"kernel": params["in_proj_weight"].T, "bias": params["in_proj_bias"]}
        qkv = graph.dense(f"{name}/in_proj", x, fused)
        qkv = graph.reshape(qkv, 0, length, 3, heads, width)
        qkv = graph.transpose(qkv, 2, 0, 3, 1, 4)
        query, key, value = (
            graph.op("Squeeze", part, graph.integers(0))
            for part in graph.ops("Split", qkv, results=3, axis=0, num_outputs=3)
        )
        query = graph.multiply(query, graph.constant(width**-0.5))
        scores = graph.matmul(query, graph.transpose(key, 0, 1, 3, 2))
        scores = scores if causal is None else graph.add(scores, causal)
        shares = graph.op("Softmax", scores, axis=-1)
        joined = graph.transpose(graph.matmul(shares, value), 0, 2, 1, 3)
        joined = graph.reshape(joined, 0, length, config.text_width)
        return graph.dense(f"{name}/out_proj", joined, params["out_proj"])
