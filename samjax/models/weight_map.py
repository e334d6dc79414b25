"""The weight map: one table, one row per kind of module, read in both directions.

A row has the name of a module in the release and in Hugging Face's `SamModel`, the kind
of module, and the shape of its weight as the release stores it; a row of a module that
only some models have names the config's option for it. Everything else is computed: the
rows expand over the config to one `Entry` per array; the kind gives the leaf names and an
invertible change of layout; and the path in samjax's parameter tree is the released name
with each index joined to the name before it (`blocks.0.attn.qkv` is
`blocks_0/attn/qkv`), because submodules carry released names.

Grammar of a row. Names in braces (`{block}`, `{axis}`, ...) run over the values that
`_ranges` lists for them. A dimension of a shape is an integer or a symbol that
`_dimensions` defines, so that a shape reads as in the release: "3d d" is the (out, in) of
the fused attention projection.
"""

import dataclasses
import functools
import itertools
import string
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Literal

import numpy as np

from samjax.models.config import SamArchitecture

Kind = Literal["linear", "conv", "conv_transpose", "norm", "embed", "array"]


@dataclasses.dataclass(frozen=True)
class Row:
    """One kind of module, in every naming.

    Attributes:
        released: Dotted name template of the release (`segment_anything`).
        hugging_face: Dotted name template of transformers' `SamModel`.
        kind: Kind of the module, which decides the leaves and their layout.
        shape: The weight's shape in the release, symbols separated by spaces.
        bias: Whether a linear layer or convolution has a bias.
        option: Field of the config that has to be on for the module to be there.
    """

    released: str
    hugging_face: str
    kind: Kind
    shape: str
    bias: bool = True
    option: str | None = None


@dataclasses.dataclass(frozen=True)
class Entry:
    """One array of one model.

    Attributes:
        released: Dotted name in the release.
        hugging_face: Dotted name in transformers' `SamModel`.
        path: Path in samjax's parameter tree.
        shape: Shape in the release's layout, which is Hugging Face's too.
        order: Axes of the released array in the order that samjax keeps them.
    """

    released: str
    hugging_face: str
    path: tuple[str, ...]
    shape: tuple[int, ...]
    order: tuple[int, ...]

    @property
    def tree_shape(self) -> tuple[int, ...]:
        """Shape in samjax's layout."""
        return tuple(self.shape[axis] for axis in self.order)

    def to_tree(self, released: np.ndarray) -> np.ndarray:
        """Views an array of the release's shape in samjax's layout."""
        return released.transpose(self.order)

    def to_released(self, leaf: np.ndarray) -> np.ndarray:
        """Views an array of samjax in the release's layout and shape: undoes `to_tree`."""
        return leaf.transpose(np.argsort(self.order))


@functools.lru_cache(maxsize=16)
def entries(config: SamArchitecture) -> tuple[Entry, ...]:
    """Expands the table: every array of the model of this config, once.

    ViT-B, L and H have 314, 482 and 594.
    """
    rows = [row for row in TABLE if not row.option or getattr(config, row.option)]
    dimensions = functools.partial(_dimensions, config)
    return tuple(expand(rows, _ranges(config), dimensions))


def expand(
    rows: Iterable[Row],
    ranges: Mapping[str, Sequence[str]],
    dimensions: Callable[[Mapping[str, str]], Mapping[str, int]],
) -> Iterator[Entry]:
    """Expands the rows of a table.

    Args:
        rows: The rows.
        ranges: Values of every name in braces.
        dimensions: Sizes of the symbols in shapes, for values of the names in braces.

    Yields:
        An entry for every array of every module.
    """
    for row in rows:
        names = [
            name for _, name, _, _ in string.Formatter().parse(row.released) if name
        ]
        for values in itertools.product(*(ranges[name] for name in names)):
            binding = dict(zip(names, values, strict=True))
            yield from _entries_of(row, binding, dimensions(binding))


def tree_path(released: str) -> tuple[str, ...]:
    """Returns the path in samjax's tree of a released module name.

    >>> tree_path("image_encoder.blocks.0.attn.qkv")
    ('image_encoder', 'blocks_0', 'attn', 'qkv')
    """
    path: list[str] = []
    for part in released.split("."):
        if part.isdigit() and path:
            path[-1] += f"_{part}"
        else:
            path.append(part)
    return tuple(path)


def _entries_of(
    row: Row, binding: Mapping[str, str], sizes: Mapping[str, int]
) -> Iterator[Entry]:
    released = row.released.format(**binding)
    hugging_face = row.hugging_face.format(**binding)
    shape = tuple(
        int(symbol) if symbol.isdigit() else sizes[symbol]
        for symbol in row.shape.split()
    )
    for leaf, suffix, leaf_shape, order in _leaves(row, shape):
        yield Entry(
            released=released + suffix,
            hugging_face=hugging_face + suffix,
            path=tree_path(released) + leaf,
            shape=leaf_shape,
            order=order,
        )


def _leaves(row: Row, shape: tuple[int, ...]):
    """Yields (leaf path, released suffix, released shape, axis order) of a module."""
    if row.kind == "array":
        yield (), "", shape, tuple(range(len(shape)))
        return
    name, order = LAYOUTS[row.kind]
    yield (name,), ".weight", shape, order
    if row.kind != "embed" and row.bias:
        # A transposed convolution stores (in, out, h, w); all others lead with out.
        width = shape[1] if row.kind == "conv_transpose" else shape[0]
        yield ("bias",), ".bias", (width,), (0,)


def _ranges(config: SamArchitecture) -> dict[str, tuple[str, ...]]:
    def count(n: int) -> tuple[str, ...]:
        return tuple(map(str, range(n)))

    return {
        "block": count(config.depth),
        "layer": count(config.decoder_depth),
        "point": count(NUM_POINT_EMBEDDINGS),
        "mask": count(config.num_multimask_outputs + 1),
        "cross": ("cross_attn_token_to_image", "cross_attn_image_to_token"),
        "in": ("q", "k", "v"),
        "any": ("q", "k", "v", "out"),
        "norm": ("1", "2", "3", "4"),
        "axis": ("h", "w"),
    }


def _dimensions(config: SamArchitecture, binding: Mapping[str, str]) -> dict[str, int]:
    """Returns the symbols of shapes; `r` depends on the block of the expanded row."""
    d, c, m = config.embed_dim, config.prompt_embed_dim, config.mask_in_chans
    window = config.window_size
    if int(binding.get("block", -1)) in config.global_attention_blocks:
        window = config.grid_size
    return {
        "d": d,
        "3d": 3 * d,
        "e": int(d * config.mlp_ratio),
        "a": d // config.num_heads,
        "p": config.patch_size,
        "g": config.grid_size,
        "r": 2 * window - 1,
        "c": c,
        "c/2": c // 2,
        "c/4": c // 4,
        "c/8": c // 8,
        "m": m,
        "m/4": m // 4,
        "f": config.decoder_mlp_dim,
        "t": config.num_multimask_outputs + 1,
    }


NUM_POINT_EMBEDDINGS = 4
_FINAL = "final_attn_token_to_image"

# Kind -> (name of the weight's leaf, axes of the released weight in samjax's order).
# Kernels: linear (in, out); convolution (h, w, in, out); transposed convolution
# (in, h, w, out), the matrix of a 2 x 2 pixel shuffle.
LAYOUTS: Mapping[str, tuple[str, tuple[int, ...]]] = {
    "linear": ("kernel", (1, 0)),
    "conv": ("kernel", (2, 3, 1, 0)),
    "conv_transpose": ("kernel", (0, 2, 3, 1)),
    "norm": ("scale", (0,)),
    "embed": ("embedding", (0, 1)),
}

# Buffers that some exports carry, and that are constants in samjax. They are accepted with
# these values only: others mean that the model was trained on another normalization.
CONSTANT_BUFFERS: Mapping[str, tuple[float, float, float]] = {
    "pixel_mean": (123.675, 116.28, 103.53),
    "pixel_std": (58.395, 57.12, 57.375),
}

# transformers keeps the Fourier matrix twice, tied: copy -> original.
HUGGING_FACE_COPIES: Mapping[str, str] = {
    "prompt_encoder.shared_embedding.positional_embedding": (
        "shared_image_embedding.positional_embedding"
    ),
}


def _under(released: str, hugging_face: str, *rows: Row) -> tuple[Row, ...]:
    """Puts the rows of one module under its names."""
    return tuple(
        dataclasses.replace(
            row,
            released=f"{released}.{row.released}",
            hugging_face=f"{hugging_face}.{row.hugging_face}",
        )
        for row in rows
    )


TABLE: tuple[Row, ...] = (
    *_under(
        "image_encoder",
        "vision_encoder",
        Row("pos_embed", "pos_embed", "array", "1 g g d"),
        Row("patch_embed.proj", "patch_embed.projection", "conv", "d 3 p p"),
        Row("norm", "norm", "norm", "d", option="final_norm"),
        Row("neck.0", "neck.conv1", "conv", "c d 1 1", bias=False),
        Row("neck.1", "neck.layer_norm1", "norm", "c"),
        Row("neck.2", "neck.conv2", "conv", "c c 3 3", bias=False),
        Row("neck.3", "neck.layer_norm2", "norm", "c"),
    ),
    *_under(
        "image_encoder.blocks.{block}",
        "vision_encoder.layers.{block}",
        Row("norm1", "layer_norm1", "norm", "d"),
        Row("attn.qkv", "attn.qkv", "linear", "3d d"),
        Row("attn.rel_pos_{axis}", "attn.rel_pos_{axis}", "array", "r a"),
        Row("attn.proj", "attn.proj", "linear", "d d"),
        Row("norm2", "layer_norm2", "norm", "d"),
        Row("mlp.lin1", "mlp.lin1", "linear", "e d"),
        Row("mlp.lin2", "mlp.lin2", "linear", "d e"),
    ),
    Row(
        "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix",
        "shared_image_embedding.positional_embedding",
        "array",
        "2 c/2",
    ),
    *_under(
        "prompt_encoder",
        "prompt_encoder",
        Row("point_embeddings.{point}", "point_embed.{point}", "embed", "1 c"),
        Row("not_a_point_embed", "not_a_point_embed", "embed", "1 c"),
        Row("no_mask_embed", "no_mask_embed", "embed", "1 c"),
        Row("mask_downscaling.0", "mask_embed.conv1", "conv", "m/4 1 2 2"),
        Row("mask_downscaling.1", "mask_embed.layer_norm1", "norm", "m/4"),
        Row("mask_downscaling.3", "mask_embed.conv2", "conv", "m m/4 2 2"),
        Row("mask_downscaling.4", "mask_embed.layer_norm2", "norm", "m"),
        Row("mask_downscaling.6", "mask_embed.conv3", "conv", "c m 1 1"),
    ),
    *_under(
        "mask_decoder",
        "mask_decoder",
        Row("iou_token", "iou_token", "embed", "1 c"),
        Row("mask_tokens", "mask_tokens", "embed", "t c"),
        Row("output_upscaling.0", "upscale_conv1", "conv_transpose", "c c/4 2 2"),
        Row("output_upscaling.1", "upscale_layer_norm", "norm", "c/4"),
        Row("output_upscaling.3", "upscale_conv2", "conv_transpose", "c/4 c/8 2 2"),
    ),
    *_under(
        "mask_decoder.transformer.layers.{layer}",
        "mask_decoder.transformer.layers.{layer}",
        Row("self_attn.{any}_proj", "self_attn.{any}_proj", "linear", "c c"),
        Row("{cross}.{in}_proj", "{cross}.{in}_proj", "linear", "c/2 c"),
        Row("{cross}.out_proj", "{cross}.out_proj", "linear", "c c/2"),
        Row("norm{norm}", "layer_norm{norm}", "norm", "c"),
        Row("mlp.lin1", "mlp.lin1", "linear", "f c"),
        Row("mlp.lin2", "mlp.lin2", "linear", "c f"),
    ),
    *_under(
        "mask_decoder.transformer",
        "mask_decoder.transformer",
        Row(f"{_FINAL}.{{in}}_proj", f"{_FINAL}.{{in}}_proj", "linear", "c/2 c"),
        Row(f"{_FINAL}.out_proj", f"{_FINAL}.out_proj", "linear", "c c/2"),
        Row("norm_final_attn", "layer_norm_final_attn", "norm", "c"),
    ),
    *_under(
        "mask_decoder.output_hypernetworks_mlps.{mask}",
        "mask_decoder.output_hypernetworks_mlps.{mask}",
        Row("layers.0", "proj_in", "linear", "c c"),
        Row("layers.1", "layers.0", "linear", "c c"),
        Row("layers.2", "proj_out", "linear", "c/8 c"),
    ),
    *_under(
        "mask_decoder.iou_prediction_head",
        "mask_decoder.iou_prediction_head",
        Row("layers.0", "proj_in", "linear", "c c"),
        Row("layers.1", "layers.0", "linear", "c c"),
        Row("layers.2", "proj_out", "linear", "t c"),
    ),
)
