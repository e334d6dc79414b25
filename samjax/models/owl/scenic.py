"""OWL-ViT and OWLv2 in scenic's checkpoints of Flax: their names and layouts.

The names are those of scenic's `projects/owl_vit` (Apache-2.0). Its attention has separate
kernels for query, key and value with an axis for the heads, dense kernels are (in, out),
and convolutions (height, width, in, out). Older files number the norms of a block from 1,
newer ones from 0, and the blocks are `resblocks.0` or `resblocks_0`. The projection of
images into the joint space, which detection has no use for, was left out of them, and
the first OWL-ViT has no objectness head.

samjax computes what transformers does: the GELU of the heads is exact, where scenic
approximates it by a tanh, and the epsilon of the norm behind the class token is 1e-5, where
scenic has 1e-6.
"""

import re

from samjax.models.clip.family import HEAD_DIM, count_blocks, shape_or_ones
from samjax.models.family import FlaxForm, FlaxPiece, Shapes
from samjax.models.owl.config import OwlConfig
from samjax.models.weight_map import Entry

CLIP = "backbone/clip"
TOWERS = {"visual.": f"{CLIP}/visual", "": f"{CLIP}/text"}


def read_config(shapes: Shapes) -> tuple[OwlConfig, list[str]]:
    """Reads the sizes from the shapes of a file.

    The activation is scenic's only one, the quick GELU.

    Args:
        shapes: Name, joined by "/", to shape.

    Returns:
        The most likely config, and the reasons against it.
    """
    visual, text = TOWERS["visual."], TOWERS[""]
    patch, _, _, width = shape_or_ones(shapes, f"{visual}/conv1/kernel", 4)
    positions, _ = shape_or_ones(shapes, f"{visual}/positional_embedding", 2)
    context, text_width = shape_or_ones(shapes, f"{text}/positional_embedding", 2)
    vocab, _ = shape_or_ones(shapes, f"{text}/token_embedding/embedding", 2)
    _, joint = shape_or_ones(shapes, f"{text}/text_projection/kernel", 2)
    sizes = {
        f"{name}_{field}": size
        for name, tower, channels in (
            ("vision", visual, width),
            ("text", text, text_width),
        )
        for field, size in _tower(shapes, tower, channels).items()
    }
    config = OwlConfig(
        image_size=patch * max(1, round(max(0, positions - 1) ** 0.5)),
        patch_size=patch,
        embed_dim=joint,
        vision_width=width,
        text_width=text_width,
        vocab_size=vocab,
        context_length=context,
        quick_gelu=True,
        **sizes,
    )
    return config, config.problems()


def _tower(shapes: Shapes, tower: str, width: int) -> dict[str, int]:
    """Returns depth, heads and hidden width of a tower."""
    first = _block(tower, "0", shapes)
    blocks = first.removesuffix("0")
    heads = shape_or_ones(shapes, f"{first}/attn/query/bias", 2)[0]
    names = {name.replace("/", "."): shape for name, shape in shapes.items()}
    return {
        "depth": count_blocks(names, blocks.replace("/", ".")),
        "heads": heads if width % heads == 0 else max(1, width // HEAD_DIM),
        "mlp_dim": shape_or_ones(shapes, f"{first}/mlp/c_fc/bias", 1)[0],
    }


def pieces(entry: Entry, shapes: Shapes) -> tuple[FlaxPiece, ...]:
    """Returns the arrays of a file that an array of OWLv2 consists of.

    Args:
        entry: The array.
        shapes: Those of the file, which show how it numbers blocks and norms.

    Raises:
        KeyError: OWLv2 has no such array.
    """
    released, shape = entry.released, entry.shape
    if match := BLOCK.fullmatch(released):
        tower = TOWERS[match["tower"] or ""]
        block = _block(tower, match["block"], shapes)
        return _of_block(block, match["rest"], shape, shapes)
    if released == "logit_scale":
        return (FlaxPiece(f"{CLIP}/{released}", shape, shape, ()),)
    for prefix, place in PLACES.items():
        if released.startswith(prefix):
            module, _, leaf = released.removeprefix(prefix).rpartition(".")
            module = DENSE.sub(r"Dense_\1", module.replace(".", "/"))
            place = f"{place}/{module}" if module else place
            return (_leaf(place, leaf, released, shape),)
    raise KeyError(f"Got the name {released}, which is none of OWLv2's.")


def _of_block(
    block: str, rest: str, shape: tuple[int, ...], shapes: Shapes
) -> tuple[FlaxPiece, ...]:
    """Returns the pieces of an array in a block of a tower."""
    module, _, leaf = rest.rpartition(".")
    if rest.startswith("attn.in_proj_"):
        width = shape[0] // 3
        heads = _heads(shapes, block)
        axes = (heads, width // heads)
        if rest.endswith("bias"):
            stored, merged, order = axes, (width,), (0,)
        else:
            stored, merged, order = (width, *axes), (width, width), (1, 0)
        return tuple(
            FlaxPiece(f"{block}/attn/{name}/{_word(rest)}", stored, merged, order)
            for name in ("query", "key", "value")
        )
    if module == "attn.out_proj":
        name = f"{block}/attn/out/{_word(leaf)}"
        if leaf == "bias":
            return (FlaxPiece(name, shape, shape, (0,)),)
        heads, width = _heads(shapes, block), shape[1]
        stored = (heads, width // heads, shape[0])
        return (FlaxPiece(name, stored, (width, shape[0]), (1, 0)),)
    if module in ("ln_1", "ln_2"):
        # Numbered from 0 in newer files.
        is_new = f"{block}/ln_0/scale" in shapes
        module = f"ln_{int(module[-1]) - is_new}"
    return (_leaf(f"{block}/{module.replace('.', '/')}", leaf, rest, shape),)


def _leaf(place: str, leaf: str, released: str, shape: tuple[int, ...]) -> FlaxPiece:
    """Returns the piece of a norm, a dense layer, a convolution or a plain array."""
    if leaf not in ("weight", "bias"):
        # Matrices without a layer of their own in the release are dense here.
        is_dense = leaf == "text_projection"
        name = f"{place}/{leaf}/kernel" if is_dense else f"{place}/{leaf}"
        return FlaxPiece(name, shape, shape, tuple(range(len(shape))))
    if NORM.search(released):
        word = {"weight": "scale", "bias": "bias"}[leaf]
        return FlaxPiece(f"{place}/{word}", shape, shape, (0,))
    if released == "token_embedding.weight":
        return FlaxPiece(f"{place}/embedding", shape, shape, (0, 1))
    if leaf == "bias":
        return FlaxPiece(f"{place}/bias", shape, shape, (0,))
    # Of (height, width, in, out), or (in, out), to (out, in, height, width).
    order = (3, 2, 0, 1) if len(shape) == 4 else (1, 0)
    stored = tuple(shape[order.index(axis)] for axis in range(len(shape)))
    return FlaxPiece(f"{place}/kernel", stored, stored, order)


def _block(tower: str, number: str, shapes: Shapes) -> str:
    """Returns the name of a block, as the file writes it."""
    prefix = f"{tower}/transformer/resblocks"
    is_old = f"{prefix}.0/mlp/c_fc/bias" in shapes
    return f"{prefix}{'.' if is_old else '_'}{number}"


def _heads(shapes: Shapes, block: str) -> int:
    """Returns the attention heads that a block of the file has."""
    return shape_or_ones(shapes, f"{block}/attn/query/bias", 2)[0]


def _word(leaf: str) -> str:
    return "bias" if leaf.endswith("bias") else "kernel"


BLOCK = re.compile(
    r"(?P<tower>visual\.)?transformer\.resblocks\.(?P<block>\d+)\.(?P<rest>.+)"
)
NORM = re.compile(r"(?:^|\.)(?:ln_\w+|layer_norm)\.(?:weight|bias)$")
DENSE = re.compile(r"dense(\d)")
# Released beginnings and the maps that they are in.
PLACES = {
    "layer_norm.": "backbone/merged_class_token",
    "class_head.": "class_head",
    "box_head.": "obj_box_head",
    "objectness_head.": "objectness_head",
    "visual.": f"{CLIP}/visual",
    "": f"{CLIP}/text",
}
NO_PROJECTION = (
    "scenic's files have no projection of images into the space of texts; it is 0, and "
    "embed_image of no use"
)
NO_OBJECTNESS = "the first OWL-ViT has no objectness head; its logits are 0"
SCENIC = FlaxForm(
    marks=r"backbone/clip/visual/conv1/kernel",
    # The masks of an OWL-ViT with them, and arrays of old files that nothing reads.
    ignored=r"obj_mask_head/.*|class_head/padding(?:_bias)?",
    optional=(
        (r"visual\.proj", NO_PROJECTION),
        (r"objectness_head\..*", NO_OBJECTNESS),
    ),
    read_config=read_config,
    pieces=pieces,
)
