"""Paths of the parameter tree: the only file that spells them, beside the modules.

The modules name their submodules, and the tree of parameters follows: it is a nested
dict whose keys are those names. All code that treats parameters by where they are in
the tree (weight decay, layer-wise learning rates, freezing, adapters, sharding, crops of
position tables, fingerprints) gets paths and rules from here. Weight maps and exported
graphs, which write the model in another form, spell names of their own.

A path is a tuple of keys. Rules take paths joined by slashes, as in
`image_encoder/blocks_0/attn/qkv/kernel`.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import jax

Params = Mapping[str, Any]
"""A tree of parameters, or of their shapes or shardings."""

Path = tuple[str, ...]

IMAGE_ENCODER = "image_encoder"
PROMPT_ENCODER = "prompt_encoder"
MASK_DECODER = "mask_decoder"
TEXT_ENCODER = "text_encoder"

PARTS = (IMAGE_ENCODER, PROMPT_ENCODER, MASK_DECODER)
"""The submodules of `Sam`, the first keys of every path."""

DECODING_PARTS = (PROMPT_ENCODER, MASK_DECODER)
"""The parts that predict masks from an image embedding and prompts."""

ADAPTERS = "lora"
"""The key, beside the parts of the model, under which a tree holds adapters."""

TEXT_PROJECTION = (PROMPT_ENCODER, "text_projection")
"""The linear layer from the vector of a text to a prompt token."""

TEXT_SIMILARITY = (PROMPT_ENCODER, "text_similarity")
"""The comparison of image embeddings with texts, in models that have one."""

TEXT_TOWER = (
    "transformer",
    "token_embedding",
    "positional_embedding",
    "ln_final",
    "text_projection",
)
"""Keys of a text tower, in CLIP's tree and under `TEXT_ENCODER`."""

SIGLIP_TEXT_TOWER = (
    "transformer",
    "token_embedding",
    "positional_embedding",
    "ln_final",
    "head",
)
"""Those of SigLIP's."""

FOURIER_MATRIX = (PROMPT_ENCODER, "pe_layer", "positional_encoding_gaussian_matrix")
"""The random frequencies of positions: a constant that is stored as a parameter."""

POSITION_TABLE = (IMAGE_ENCODER, "pos_embed")
"""Absolute positions of the image encoder, "1 g g d"."""

PATCH_KERNEL = (IMAGE_ENCODER, "patch_embed", "proj", "kernel")
"""Kernel of the patch embedding, "p p 3 d"."""

RELATIVE_TABLES = ("rel_pos_h", "rel_pos_w")
"""Last keys of a block's relative position tables, of rows and of columns."""

# The projections of an attention of the mask decoder, and the matrix of each.
QUERY, KEY, VALUE, OUTPUT = "q_proj", "k_proj", "v_proj", "out_proj"
KERNEL = "kernel"


def join(path: Iterable[str]) -> str:
    """Joins the keys of a path by slashes."""
    return "/".join(path)


def map_paths(function: Callable[[str], Any], params: Params) -> Any:
    """Maps a function of the joined path over a tree of parameters."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: function(join(key.key for key in path)), params
    )


def select_parts(params: Params, parts: Sequence[str]) -> dict[str, Any]:
    """Returns the subtrees of some parts, under the same keys."""
    return {part: params[part] for part in parts}


def value_at(params: Params, path: Path) -> Any:
    """Returns the array or subtree at a path."""
    for key in path:
        params = params[key]
    return params


def with_value(params: Params, path: Path, value: Any) -> dict[str, Any]:
    """Returns the tree with another array or subtree at a path."""
    key, *rest = path
    if rest:
        value = with_value(params[key], tuple(rest), value)
    return {**params, key: value}


def global_relative_tables(global_blocks: Iterable[int]) -> list[Path]:
    """Returns the paths of the relative tables of blocks with global attention.

    Their length follows the model's input size; those of windows do not depend on it.

    Args:
        global_blocks: Indices of the blocks (`SamConfig.global_attention_blocks`).
    """
    return [
        (IMAGE_ENCODER, f"blocks_{block}", "attn", name)
        for block in global_blocks
        for name in RELATIVE_TABLES
    ]


def cross_attentions(params: Params) -> list[Path]:
    """Returns the paths of all attentions between tokens and image."""
    ends = ("token_to_image", "image_to_token")

    def walk(tree: Params, path: Path) -> Iterator[Path]:
        for name, value in tree.items():
            if name.endswith(ends):
                yield (*path, name)
            elif isinstance(value, Mapping):
                yield from walk(value, (*path, name))

    return list(walk(params[MASK_DECODER], (MASK_DECODER,)))


# Learning rates, weight decay, freezing.

Kind = Literal["weight", "bias", "norm", "position", "token", "constant"]
"""Kind of a parameter: the kernel or the bias of a layer, the scale of a norm, a table of
positions, a learned token or prompt embedding, or the Fourier matrix."""

_KINDS: Mapping[str, Kind] = {
    KERNEL: "weight",
    "bias": "bias",
    "scale": "norm",
    POSITION_TABLE[-1]: "position",
    **dict.fromkeys(RELATIVE_TABLES, "position"),
    "embedding": "token",
    FOURIER_MATRIX[-1]: "constant",
}


def kind_of(path: str) -> Kind | None:
    """Returns the kind of a parameter, by the last key of its path; None for adapters."""
    return _KINDS.get(path.rsplit("/", 1)[-1])


def is_constant(path: str) -> bool:
    """Returns whether a parameter is never trained: the Fourier matrix."""
    return path == join(FOURIER_MATRIX)


def layer_of(path: str, depth: int) -> int:
    """Returns the layer of a parameter, for layer-wise decay (the rule of ViTDet).

    Patch and position embedding are layer 0, block i is layer i + 1, everything else
    (final norm, neck, prompt encoder, mask decoder) is layer `depth + 1`.

    Args:
        path: Its path.
        depth: Blocks of the image encoder.
    """
    if path.startswith((join(POSITION_TABLE), join(PATCH_KERNEL[:2]))):
        return 0
    block = re.match(rf"{IMAGE_ENCODER}/blocks_(\d+)/", path)
    return int(block[1]) + 1 if block else depth + 1


def kernel_inputs(path: str, shape: tuple[int, ...]) -> int:
    """Returns the number of inputs (fan-in) of an output of a kernel."""
    # The kernel of a transposed convolution is (in, h, w, out), all others are
    # (..., in, out).
    if "output_upscaling" in path:
        return shape[0]
    inputs = 1
    for side in shape[:-1]:
        inputs *= side
    return inputs


Trainable = Literal[
    "all", "neck_and_decoder", "decoder_and_prompts", "decoder", "adapters"
]
"""The trained part: all of the model; all but the image encoder's blocks and embeddings;
mask decoder and prompt encoder; mask decoder; or adapters alone. Adapters, where there
are any, are trained in each case."""

TRAINED: Mapping[Trainable, tuple[str, ...]] = {
    "all": tuple(f"{part}/" for part in PARTS),
    "neck_and_decoder": (
        f"{IMAGE_ENCODER}/neck_",
        *(f"{part}/" for part in DECODING_PARTS),
    ),
    "decoder_and_prompts": tuple(f"{part}/" for part in DECODING_PARTS),
    "decoder": (f"{MASK_DECODER}/",),
    "adapters": (),
}
"""Beginnings of the paths that each preset trains."""


TEXT_DECODING = (
    join(TEXT_PROJECTION),
    f"{join(TEXT_SIMILARITY)}/map_",
    f"{MASK_DECODER}/transformer",
    f"{MASK_DECODER}/iou",
    f"{MASK_DECODER}/mask_tokens",
    f"{MASK_DECODER}/output_hypernetworks_mlps",
)
"""Beginnings of the paths that a decoder learns texts with: all but its upscaling."""


# Low-rank adapters.

AdapterTarget = Literal["q", "k", "v", "out", "mlp"]
"""A matrix of every block or layer that can have an adapter: the projections to queries,
keys and values, that of the output, both layers of the MLP."""


class AdaptedKernel(NamedTuple):
    """A matrix that gets an adapter: a kernel, or a third of the columns of one.

    Attributes:
        path: Path of the kernel.
        name: Key of the adapter, which stands where the kernel does in the model.
        shape: Sides of the matrix, (in, out).
    """

    path: Path
    name: str
    shape: tuple[int, int]


# Queries, keys and values of the image encoder are columns of one kernel.
_FUSED = r"blocks_\d+/attn/qkv"
_FUSED_NAMES = {target: f"{KERNEL}_{target}" for target in ("q", "k", "v")}
_ENCODER_KERNELS = {
    "out": r"blocks_\d+/attn/proj",
    "mlp": r"blocks_\d+/mlp/lin[12]",
}
_DECODER_ATTENTION = r"transformer/.*attn\w*"
_DECODER_KERNELS = {
    "q": f"{_DECODER_ATTENTION}/{QUERY}",
    "k": f"{_DECODER_ATTENTION}/{KEY}",
    "v": f"{_DECODER_ATTENTION}/{VALUE}",
    "out": f"{_DECODER_ATTENTION}/{OUTPUT}",
    "mlp": r"transformer/layers_\d+/mlp/lin[12]",
}


def adapted_kernels(
    params: Params, encoder: Sequence[AdapterTarget], decoder: Sequence[AdapterTarget]
) -> Iterator[AdaptedKernel]:
    """Yields the matrices that get adapters, in the order of their paths.

    Args:
        params: The model's parameters, or their shapes.
        encoder: Targets in the image encoder's blocks.
        decoder: Targets in the mask decoder's transformer.
    """
    for path, leaf in sorted(_kernels(params)):
        module = join(path[1:-1])
        if path[0] == IMAGE_ENCODER and re.fullmatch(_FUSED, module):
            inputs, outputs = leaf.shape
            for target in encoder:
                if target in _FUSED_NAMES:
                    yield AdaptedKernel(
                        path, _FUSED_NAMES[target], (inputs, outputs // 3)
                    )
            continue
        patterns, targets = _DECODER_KERNELS, decoder
        if path[0] == IMAGE_ENCODER:
            patterns, targets = _ENCODER_KERNELS, encoder
        if any(
            target in patterns and re.fullmatch(patterns[target], module)
            for target in targets
        ):
            yield AdaptedKernel(path, KERNEL, leaf.shape)


def adapted_columns(name: str, outputs: int) -> int | None:
    """Returns the first column of a kernel that an adapter changes.

    Args:
        name: A key in a tree of adapters.
        outputs: Columns of the adapter.

    Returns:
        None where the key is that of a module, and not of an adapter.
    """
    if name == KERNEL:
        return 0
    fused = list(_FUSED_NAMES.values())
    return fused.index(name) * outputs if name in fused else None


def _kernels(params: Params) -> Iterator[tuple[Path, Any]]:
    def walk(tree: Params, path: Path):
        for name, value in tree.items():
            if isinstance(value, Mapping):
                yield from walk(value, (*path, name))
            elif name == KERNEL:
                yield (*path, name), value

    for part in (IMAGE_ENCODER, MASK_DECODER):
        yield from walk(params.get(part, {}), (part,))


# Sharding.

# Attention heads and hidden units of MLPs are computed where their columns are, with
# their own part of the bias; the matrix after them sums over devices.
_SHARDED: tuple[tuple[str, tuple[str | None, ...]], ...] = (
    (r"attn/qkv/kernel", (None, "tensor")),
    (r"attn/qkv/bias", ("tensor",)),
    (r"attn/proj/kernel", ("tensor", None)),
    (r"mlp/lin1/kernel", (None, "tensor")),
    (r"mlp/lin1/bias", ("tensor",)),
    (r"mlp/lin2/kernel", ("tensor", None)),
    (r"transformer/.*/[qkv]_proj/kernel", (None, "tensor")),
    (r"transformer/.*/[qkv]_proj/bias", ("tensor",)),
    (r"transformer/.*/out_proj/kernel", ("tensor", None)),
)


def tensor_axes(path: str) -> tuple[str | None, ...]:
    """Returns the mesh axes of the last dimensions of a parameter under tensor parallelism.

    Args:
        path: Path of the parameter, or of an array of the optimizer's state, which ends
            in that of its parameter.

    Returns:
        An axis of the mesh, or None, for each of the last dimensions; an empty tuple for
        parameters that tensor parallelism does not shard.
    """
    for expression, axes in _SHARDED:
        if re.search(f"(^|/){expression}$", path):
            return axes
    return ()
