"""The image encoder as an ONNX graph, from pixels to the image embedding.

Tokens are "s c", in row-major order of the grid, or "b t c" in windows. The large
attention of global blocks is computed for blocks of queries, as on a CPU: all its logits
would not fit a browser's memory.
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from samjax.export.onnx_graph import Arithmetic, Graph, Storage
from samjax.geometry.frame import PIXEL_MEAN, PIXEL_STD
from samjax.models.layers import ENCODER_EPSILON
from samjax.models.sam import Sam

# Logits of a block of queries, all heads together: 16 MB of float32.
_LARGEST_LOGITS = 2**22


def write_encoder(
    model: Sam,
    params: Any,
    storage: Storage = "float32",
    arithmetic: Arithmetic = "float32",
) -> Any:
    """Writes the image encoder, `onnx.ModelProto`.

    It takes `image` (h, w, 3), RGB from 0 to 255, resized so that the longer side is
    the model's input size, and returns `image_embeddings` (1, c, gh, gw). Normalization
    and padding are part of it.

    Args:
        model: The model.
        params: Its parameters.
        storage: How weights are stored.
        arithmetic: Precision of dense layers and of queries with keys. In `"int8"` a
            browser's CPU multiplies more than twice as fast.
    """
    writer = EncoderWriter(Graph("encoder", storage, arithmetic), model, params)
    return writer.write().model("The embedding of an image.")


class EncoderWriter:
    """Writes an image encoder.

    Args:
        graph: To write to.
        model: The model.
        params: Its parameters.
    """

    def __init__(self, graph: Graph, model: Sam, params: Any):
        self.graph, self.config = graph, model.config
        self.params = jax.tree.map(np.asarray, params["image_encoder"])
        self.side = model.config.grid_size

    def write(self) -> Graph:
        """Writes the whole encoder."""
        graph, side = self.graph, self.side
        tokens = self._embed_patches(graph.input("image", ("height", "width", 3)))
        for i in range(self.config.depth):
            tokens = self._block(tokens, i)
        if self.config.final_norm:
            tokens = graph.layer_norm(tokens, self.params["norm"], ENCODER_EPSILON)
        channels = self.config.prompt_embed_dim
        kernel = self.params["neck_0"]["kernel"].reshape(-1, channels)
        features = graph.matmul(tokens, graph.weight("neck_0/kernel", kernel))
        features = graph.layer_norm(features, self.params["neck_1"], ENCODER_EPSILON)
        features = graph.transpose(features, 1, 0)
        features = graph.reshape(features, 1, channels, side, side)
        kernel = self.params["neck_2"]["kernel"].transpose(3, 2, 0, 1)
        features = graph.op(
            "Conv", features, graph.weight("neck_2/kernel", kernel), pads=[1, 1, 1, 1]
        )
        features = graph.normalize_channels(
            features, self.params["neck_3"], 4, ENCODER_EPSILON
        )
        graph.output(features, "image_embeddings", (1, channels, side, side))
        return graph

    def _embed_patches(self, image: str) -> str:
        """Pixels, normalized and padded with zeros, to tokens with their positions."""
        graph, side, patch = self.graph, self.side, self.config.patch_size
        size = self.config.image_size
        pixels = graph.op("Sub", image, graph.constant(PIXEL_MEAN))
        pixels = graph.op("Div", pixels, graph.constant(PIXEL_STD))
        missing = graph.op(
            "Sub", graph.integers(size, size, 3), graph.op("Shape", image)
        )
        pads = graph.concatenate(graph.integers(0, 0, 0), missing, axis=0)
        pixels = graph.op("Pad", pixels, pads)
        pixels = graph.reshape(pixels, side, patch, side, patch, 3)
        pixels = graph.transpose(pixels, 0, 2, 1, 3, 4)
        pixels = graph.reshape(pixels, side * side, patch * patch * 3)
        layer = self.params["patch_embed"]["proj"]
        kernel = layer["kernel"].reshape(-1, self.config.embed_dim)
        positions = self.params["pos_embed"].reshape(-1, self.config.embed_dim)
        return graph.add(
            graph.matmul(pixels, graph.weight("patch_embed/kernel", kernel)),
            graph.constant(layer["bias"]),
            graph.weight("pos_embed", positions),
        )

    def _block(self, tokens: str, index: int) -> str:
        graph, name = self.graph, f"blocks_{index}"
        params = self.params[name]
        update = graph.layer_norm(tokens, params["norm1"], ENCODER_EPSILON)
        if index in self.config.global_attention_blocks:
            update = graph.reshape(update, 1, self.side**2, -1)
            update = self._attention(update, name, self.side)
            update = graph.reshape(update, self.side**2, -1)
        else:
            update = self._in_windows(update)
            update = self._attention(update, name, self.config.window_size)
            update = self._from_windows(update)
        tokens = graph.add(tokens, update)
        update = graph.layer_norm(tokens, params["norm2"], ENCODER_EPSILON)
        mlp = params["mlp"]
        update = graph.op("Gelu", graph.dense(f"{name}/mlp/lin1", update, mlp["lin1"]))
        return graph.add(tokens, graph.dense(f"{name}/mlp/lin2", update, mlp["lin2"]))

    def _attention(self, tokens: str, name: str, side: int) -> str:
        """Attention over grids of `side` x `side` tokens, "b t c"."""
        graph, heads = self.graph, self.config.num_heads
        params, channels = self.params[name]["attn"], self.config.embed_dim
        width = channels // heads
        qkv = graph.dense(f"{name}/attn/qkv", tokens, params["qkv"])
        qkv = graph.reshape(qkv, 0, side * side, 3, heads, width)
        qkv = graph.transpose(qkv, 2, 0, 3, 1, 4)
        query, key, value = (
            graph.reshape(part, -1, side * side, width)
            for part in graph.ops("Split", qkv, results=3, axis=0, num_outputs=3)
        )
        terms = self._relative_terms(query, name, side, width)
        query = graph.multiply(query, graph.constant(width**-0.5))
        key = graph.transpose(key, 0, 2, 1)
        attended = []
        blocks = self._query_blocks(side * side)
        if blocks == 1:
            attended = [self._attend(query, key, value, terms, side)]
        else:
            split = [
                graph.ops("Split", part, results=blocks, axis=1, num_outputs=blocks)
                for part in (query, *terms)
            ]
            attended = [
                self._attend(q, key, value, block_terms, side)
                for q, *block_terms in zip(*split, strict=True)
            ]
        joined = graph.concatenate(*attended, axis=1)
        joined = graph.reshape(joined, -1, heads, side * side, width)
        joined = graph.reshape(
            graph.transpose(joined, 0, 2, 1, 3), -1, side * side, channels
        )
        return graph.dense(f"{name}/attn/proj", joined, params["proj"])

    def _attend(
        self, query: str, key: str, value: str, terms: Sequence[str], side: int
    ) -> str:
        """Attends for some queries: "g q d", with terms of "g q side", if any."""
        graph = self.graph
        in_int8 = graph.arithmetic == "int8"
        logits = (graph.rounded_matmul if in_int8 else graph.matmul)(query, key)
        if terms:
            rows, columns = terms
            logits = graph.op("Reshape", logits, graph.integers(0, 0, side, side))
            logits = graph.add(
                logits,
                graph.op("Unsqueeze", rows, graph.integers(3)),
                graph.op("Unsqueeze", columns, graph.integers(2)),
            )
            logits = graph.reshape(logits, 0, 0, -1)
        weights = graph.op("Softmax", logits, axis=-1)
        # Never in 8 bits: among thousands, most are far below 1/255 of the largest.
        return graph.matmul(weights, value)

    def _relative_terms(
        self, query: str, name: str, side: int, width: int
    ) -> tuple[str, ...]:
        """Products of queries with the rows', and columns', distances: "g t side".

        Empty where the tables are all zero, as those of an encoder initialized from one
        without relative positions may be: adding zeros would be a tenth of its time.
        """
        graph, params = self.graph, self.params[name]["attn"]
        if not (np.any(params["rel_pos_h"]) or np.any(params["rel_pos_w"])):
            return ()
        index = np.arange(side)
        distances = graph.constant(index[:, None] - index[None] + side - 1, np.int64)

        def relative(table: str) -> str:
            stored = graph.weight(f"{name}/attn/{table}", params[table])
            by_distance = graph.op("Gather", stored, distances, axis=0)
            return graph.transpose(by_distance, 0, 2, 1)

        grid = graph.reshape(query, -1, side, side, width)
        rows = graph.matmul(grid, relative("rel_pos_h"))
        columns = graph.matmul(graph.transpose(grid, 0, 2, 1, 3), relative("rel_pos_w"))
        columns = graph.transpose(columns, 0, 2, 1, 3)
        return (
            graph.reshape(rows, -1, side * side, side),
            graph.reshape(columns, -1, side * side, side),
        )

    def _query_blocks(self, tokens: int) -> int:
        """Number of equal blocks into which the queries of a global block are cut."""
        logits = self.config.num_heads * tokens * tokens
        blocks = 1
        while logits > blocks * _LARGEST_LOGITS and tokens % (2 * blocks) == 0:
            blocks *= 2
        # Only the global grid: a window's logits are small.
        return blocks if tokens == self.side**2 else 1

    def _in_windows(self, tokens: str) -> str:
        """ "s c" to "b t c", with zeros beyond the grid."""
        graph, size = self.graph, self.config.window_size
        windows_per_side = -(-self.side // size)
        channels, padding = self.config.embed_dim, windows_per_side * size - self.side
        grid = graph.reshape(tokens, self.side, self.side, channels)
        if padding:
            grid = graph.op("Pad", grid, graph.integers(0, 0, 0, padding, padding, 0))
        grid = graph.reshape(
            grid, windows_per_side, size, windows_per_side, size, channels
        )
        grid = graph.transpose(grid, 0, 2, 1, 3, 4)
        return graph.reshape(grid, windows_per_side**2, size**2, channels)

    def _from_windows(self, windows: str) -> str:
        graph, size = self.graph, self.config.window_size
        windows_per_side, channels = -(-self.side // size), self.config.embed_dim
        grid = graph.reshape(
            windows, windows_per_side, windows_per_side, size, size, channels
        )
        grid = graph.transpose(grid, 0, 2, 1, 3, 4)
        grid = graph.reshape(
            grid, windows_per_side * size, windows_per_side * size, channels
        )
        if windows_per_side * size != self.side:
            ends = graph.integers(self.side, self.side)
            grid = graph.op(
                "Slice", grid, graph.integers(0, 0), ends, graph.integers(0, 1)
            )
        return graph.reshape(grid, self.side**2, channels)
