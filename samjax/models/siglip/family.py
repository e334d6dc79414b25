"""The family of SigLIP (Zhai et al., 2023): its names in files, and its sizes.

Names are those of CLIP for what both have. The published weights are read from folders of
transformers.
"""

from functools import lru_cache

from samjax.models.clip.family import (
    HEAD_DIM,
    block_rows,
    count_blocks,
    shape_or_ones,
)
from samjax.models.family import ModelFamily, Shapes
from samjax.models.siglip.config import SiglipConfig
from samjax.models.siglip.hugging_face import HUGGING_FACE
from samjax.models.siglip.model import Siglip
from samjax.models.weight_map import Entry, Row, expand

TEXT_ROWS = (
    Row("token_embedding", "", "embed", "o t"),
    Row("positional_embedding", "", "array", "l t"),
    *block_rows("transformer.resblocks.{text_block}", "t", "tm"),
    Row("ln_final", "", "norm", "t"),
    Row("head", "", "linear", "j t"),
)
POOL = "visual.attnpool"
ROWS = (
    Row("visual.conv1", "", "conv", "v 3 p p"),
    Row("visual.positional_embedding", "", "array", "g v"),
    *block_rows("visual.transformer.resblocks.{image_block}", "v", "vm"),
    Row("visual.ln_post", "", "norm", "v"),
    Row(f"{POOL}.probe", "", "array", "1 1 v"),
    Row(f"{POOL}.in_proj_weight", "", "array", "3v v"),
    Row(f"{POOL}.in_proj_bias", "", "array", "3v"),
    Row(f"{POOL}.out_proj", "", "linear", "v v"),
    Row(f"{POOL}.ln", "", "norm", "v"),
    Row(f"{POOL}.mlp.c_fc", "", "linear", "vm v"),
    Row(f"{POOL}.mlp.c_proj", "", "linear", "v vm"),
    *TEXT_ROWS,
    Row("logit_{which}", "", "array", "1"),
)


@lru_cache(maxsize=16)
def entries(config: SiglipConfig) -> tuple[Entry, ...]:
    """Expands the table: every array of the model of this config, once."""
    sizes = {
        "v": config.vision_width,
        "3v": 3 * config.vision_width,
        "vm": config.vision_mlp_dim,
        "p": config.patch_size,
        "g": config.grid_size**2,
        "t": config.text_width,
        "3t": 3 * config.text_width,
        "tm": config.text_mlp_dim,
        "j": config.embed_dim,
        "l": config.context_length,
        "o": config.vocab_size,
    }
    ranges = {
        "image_block": tuple(map(str, range(config.vision_depth))),
        "text_block": tuple(map(str, range(config.text_depth))),
        "norm": ("1", "2"),
        "which": ("scale", "bias"),
    }
    return tuple(expand(ROWS, ranges, lambda binding: sizes))


def guess_config(shapes: Shapes) -> tuple[SiglipConfig, list[str]]:
    """Reads the sizes from shapes; the attention heads stay unknown.

    Args:
        shapes: Released name to shape.

    Returns:
        The most likely config, and the reasons against it.
    """
    width, _, patch, _ = shape_or_ones(shapes, "visual.conv1.weight", 4)
    positions, _ = shape_or_ones(shapes, "visual.positional_embedding", 2)
    context, text_width = shape_or_ones(shapes, "positional_embedding", 2)
    visual, text = "visual.transformer.resblocks.", "transformer.resblocks."
    config = SiglipConfig(
        image_size=patch * max(1, round(positions**0.5)),
        patch_size=patch,
        vision_width=width,
        vision_depth=count_blocks(shapes, visual),
        vision_heads=max(1, width // HEAD_DIM),
        vision_mlp_dim=shape_or_ones(shapes, f"{visual}0.mlp.c_fc.weight", 2)[0],
        text_width=text_width,
        text_depth=count_blocks(shapes, text),
        text_heads=max(1, text_width // HEAD_DIM),
        text_mlp_dim=shape_or_ones(shapes, f"{text}0.mlp.c_fc.weight", 2)[0],
        vocab_size=shape_or_ones(shapes, "token_embedding.weight", 2)[0],
        context_length=context,
    )
    unknown = "no tensor shows its attention heads: have its config.json beside it"
    return config, [*config.problems(), unknown]


FAMILY = ModelFamily(
    name="siglip",
    config=SiglipConfig,
    model=Siglip,
    entries=entries,
    # More than CLIP's marks match, of which these files have one.
    marks=r"visual\.attnpool\.[\w.]+|logit_bias",
    parts=SiglipConfig.parts,
    guess_config=guess_config,
    hugging_face=HUGGING_FACE,
)
