"""The family of CLIP: its names in files and how its sizes are read."""

from collections.abc import Mapping
from functools import lru_cache

from samjax.models.clip.config import ClipConfig
from samjax.models.clip.hugging_face import HUGGING_FACE
from samjax.models.clip.model import Clip
from samjax.models.clip.open_clip import CONFIG_NAME, config_from_open_clip
from samjax.models.clip.releases import CLIP_RELEASES
from samjax.models.family import ModelFamily, Shapes
from samjax.models.weight_map import Entry, Row, expand


def block_rows(prefix: str, width: str, hidden: str) -> tuple[Row, ...]:
    """Returns the rows of the blocks of a tower."""
    return (
        Row(f"{prefix}.ln_{{norm}}", "", "norm", width),
        Row(f"{prefix}.attn.in_proj_weight", "", "array", f"3{width} {width}"),
        Row(f"{prefix}.attn.in_proj_bias", "", "array", f"3{width}"),
        Row(f"{prefix}.attn.out_proj", "", "linear", f"{width} {width}"),
        Row(f"{prefix}.mlp.c_fc", "", "linear", f"{hidden} {width}"),
        Row(f"{prefix}.mlp.c_proj", "", "linear", f"{width} {hidden}"),
    )


TEXT_ROWS = (
    Row("positional_embedding", "", "array", "l t"),
    Row("text_projection", "", "array", "t j"),
    Row("token_embedding", "", "embed", "o t"),
    Row("ln_final", "", "norm", "t"),
    *block_rows("transformer.resblocks.{text_block}", "t", "tm"),
)
# The names of OpenAI's release, which are OpenCLIP's too. transformers splits and
# transposes some of the tensors: `samjax.models.clip.hugging_face`.
ROWS = (
    Row("visual.class_embedding", "", "array", "v"),
    Row("visual.positional_embedding", "", "array", "g v"),
    Row("visual.proj", "", "array", "v j"),
    Row("visual.conv1", "", "conv", "v 3 p p", bias=False),
    Row("visual.ln_{side}", "", "norm", "v"),
    *block_rows("visual.transformer.resblocks.{image_block}", "v", "vm"),
    Row("logit_scale", "", "array", ""),
    *TEXT_ROWS,
)


@lru_cache(maxsize=16)
def entries(config: ClipConfig) -> tuple[Entry, ...]:
    """Expands the table: every array of the model of this config, once.

    B/32 and B/16 have 302, L/14 446 and H/14 686.
    """
    sizes = _dimensions(config)
    ranges = {
        "image_block": tuple(map(str, range(config.vision_depth))),
        "text_block": tuple(map(str, range(config.text_depth))),
        "side": ("pre", "post"),
        "norm": ("1", "2"),
    }
    return tuple(expand(ROWS, ranges, lambda binding: sizes))


def _dimensions(config: ClipConfig) -> Mapping[str, int]:
    return {
        "v": config.vision_width,
        "3v": 3 * config.vision_width,
        "vm": config.vision_mlp_dim,
        "p": config.patch_size,
        "g": config.grid_size**2 + 1,
        "t": config.text_width,
        "3t": 3 * config.text_width,
        "tm": config.text_mlp_dim,
        "j": config.embed_dim,
        "l": config.context_length,
        "o": config.vocab_size,
    }


def guess_config(shapes: Shapes) -> tuple[ClipConfig, list[str]]:
    """Reads the sizes from shapes, and what no shape shows from OpenAI's extra numbers.

    OpenAI's files have `input_resolution`, `context_length` and `vocab_size` beside the
    weights. Their models all have the quick GELU and heads of 64 channels, so that such
    a file is complete. For any other the activation and the heads are unknown, and the
    returned problems say so.

    Args:
        shapes: Released name to shape.

    Returns:
        The most likely config, and the reasons against it.
    """
    width, _, patch, _ = shape_or_ones(shapes, "visual.conv1.weight", 4)
    positions, _ = shape_or_ones(shapes, "visual.positional_embedding", 2)
    context, text_width = shape_or_ones(shapes, "positional_embedding", 2)
    vocab, _ = shape_or_ones(shapes, "token_embedding.weight", 2)
    _, joint = shape_or_ones(shapes, "text_projection", 2)
    visual, text = "visual.transformer.resblocks.", "transformer.resblocks."
    config = ClipConfig(
        image_size=patch * max(1, round(max(0, positions - 1) ** 0.5)),
        patch_size=patch,
        embed_dim=joint,
        vision_width=width,
        vision_depth=count_blocks(shapes, visual),
        vision_heads=max(1, width // HEAD_DIM),
        vision_mlp_dim=shape_or_ones(shapes, f"{visual}0.mlp.c_fc.weight", 2)[0],
        text_width=text_width,
        text_depth=count_blocks(shapes, text),
        text_heads=max(1, text_width // HEAD_DIM),
        text_mlp_dim=shape_or_ones(shapes, f"{text}0.mlp.c_fc.weight", 2)[0],
        vocab_size=vocab,
        context_length=context,
        quick_gelu=True,
    )
    problems = config.problems()
    if not set(OPENAI_NUMBERS) <= set(shapes):
        problems.append(
            "no tensor shows its activation (quick_gelu or gelu) and its attention "
            "heads: have its open_clip_config.json or config.json beside it"
        )
    return config, problems


def shape_or_ones(shapes: Shapes, name: str, axes: int) -> tuple[int, ...]:
    """Returns the shape of a tensor; ones if it is missing or has other axes."""
    shape = shapes.get(name, ())
    return shape if len(shape) == axes and all(shape) else (1,) * axes


def count_blocks(shapes: Shapes, prefix: str) -> int:
    """Returns how many blocks there are, counted without gaps."""
    blocks = {
        name[len(prefix) :].split(".")[0] for name in shapes if name.startswith(prefix)
    }
    depth = 0
    while str(depth) in blocks:
        depth += 1
    return max(1, depth)


HEAD_DIM = 64
# Beside the weights in OpenAI's files.
OPENAI_NUMBERS = ("input_resolution", "context_length", "vocab_size")

FAMILY = ModelFamily(
    name="clip",
    config=ClipConfig,
    model=Clip,
    entries=entries,
    # Few, so that a file that has a SAM beside a CLIP stays a file of SAM.
    marks=r"visual\.(?:class_embedding|conv1\.weight|ln_pre\.weight|proj)",
    parts=ClipConfig.parts,
    guess_config=guess_config,
    releases=CLIP_RELEASES,
    # OpenAI's numbers, and the causal mask that scripted modules carry.
    ignored=rf"{'|'.join(OPENAI_NUMBERS)}|(?:.*\.)?attn_mask",
    config_files={CONFIG_NAME: config_from_open_clip},
    hugging_face=HUGGING_FACE,
)
