"""The family of SAM with text (SAM, section 7.5): its names in files."""

import dataclasses
from functools import lru_cache

from samjax.models.clip.family import TEXT_ROWS
from samjax.models.config import VIT_B
from samjax.models.family import ModelFamily, PublishedWeights, Shapes
from samjax.models.params import TEXT_ENCODER
from samjax.models.siglip.family import TEXT_ROWS as SIGLIP_TEXT_ROWS
from samjax.models.text_sam.config import TextSamArchitecture, TextSamConfig
from samjax.models.text_sam.model import TextSam
from samjax.models.text_similarity import MAP_WIDTH
from samjax.models.weight_map import Entry, Row, expand
from samjax.models.weight_map import entries as entries_of_sam

_SIMILARITY = "prompt_encoder.text_similarity"
_WIDTH = "similarity_width"
ROWS = (
    Row("prompt_encoder.text_projection", "", "linear", "c j"),
    Row(f"{_SIMILARITY}.norm", "", "norm", "c", option=_WIDTH),
    Row(f"{_SIMILARITY}.features", "", "linear", "s c", option=_WIDTH),
    Row(f"{_SIMILARITY}.place", "", "linear", "s 6", option=_WIDTH),
    Row(f"{_SIMILARITY}.joint", "", "linear", "j s", option=_WIDTH),
    Row(f"{_SIMILARITY}.calibration", "", "array", "2", option=_WIDTH),
    Row(f"{_SIMILARITY}.map_hidden", "", "linear", "h 3", option=_WIDTH),
    Row(f"{_SIMILARITY}.map_output", "", "linear", "c h", option=_WIDTH),
)
# The text tower's names are those of CLIP, or of SigLIP.
TOWER_ROWS = {
    tower: tuple(
        dataclasses.replace(row, released=f"{TEXT_ENCODER}.{row.released}")
        for row in rows
    )
    for tower, rows in (("clip", TEXT_ROWS), ("siglip", SIGLIP_TEXT_ROWS))
}


@lru_cache(maxsize=16)
def entries(config: TextSamArchitecture) -> tuple[Entry, ...]:
    """Expands the table: SAM's arrays, the projection and those of the text tower."""
    sizes = {
        "c": config.prompt_embed_dim,
        "j": config.text_embed_dim,
        "t": config.text_width,
        "3t": 3 * config.text_width,
        "tm": config.text_mlp_dim,
        "l": config.context_length,
        "o": config.vocab_size,
        "s": config.similarity_width,
        "h": MAP_WIDTH,
    }
    ranges = {
        "text_block": tuple(map(str, range(config.text_depth))),
        "norm": ("1", "2"),
    }
    rows = [row for row in ROWS if not row.option or getattr(config, row.option)]
    rows += TOWER_ROWS[config.text_tower]
    return (*entries_of_sam(config), *expand(rows, ranges, lambda binding: sizes))


def guess_config(shapes: Shapes) -> tuple[TextSamConfig, list[str]]:
    """Returns some config, and why it is none: no tensor shows heads and vocabulary."""
    del shapes
    fields = {f.name: getattr(VIT_B, f.name) for f in dataclasses.fields(VIT_B)}
    config = TextSamConfig(
        **fields,
        text_embed_dim=512,
        text_width=512,
        text_depth=12,
        text_heads=8,
        text_mlp_dim=2048,
    )
    problem = (
        "no tensor shows its text tower's attention heads, activation and vocabulary: "
        "use a .safetensors file of samjax, which has the config"
    )
    return config, [problem]


TEXT_RELEASES = (
    PublishedWeights(
        name="small_text",
        file="small_text.safetensors",
        config=None,
        parameters=27_219_506,
        licence="Apache-2.0",
        source="samjax, trained on photos and drawn scenes over the encoder of `small`",
        bundled=True,
    ),
)
FAMILY = ModelFamily(
    name="text_sam",
    config=TextSamConfig,
    model=TextSam,
    entries=entries,
    # SAM's names are shared, and one of these is enough to tell them apart only where a
    # file says its family.
    marks=rf"{TEXT_ENCODER}\.(?:ln_final\.weight|text_projection|head\.weight)",
    parts=TextSamConfig.parts,
    guess_config=guess_config,
    releases=TEXT_RELEASES,
)
