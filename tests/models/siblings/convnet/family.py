"""The family: its names in files and its published weights."""

from samjax.models.config import SamArchitecture
from samjax.models.family import ModelFamily, PublishedWeights
from samjax.models.params import DECODING_PARTS
from samjax.models.weight_map import Row, entries, expand

from .model import ConvConfig, ConvSam

ROWS = (
    Row("conv_encoder.stem", "", "conv", "w 3 p p"),
    Row("conv_encoder.out", "", "linear", "c w"),
)


def entries_of(config):
    """Every array of a model: the encoder's own, and those of SAM's decoder."""
    sizes = {"w": config.width, "p": config.patch_size, "c": config.prompt_embed_dim}
    decoder = SamArchitecture(
        embed_dim=8,
        depth=1,
        num_heads=1,
        global_attention_blocks=(),
        prompt_embed_dim=config.prompt_embed_dim,
        mask_in_chans=4,
        decoder_depth=1,
        decoder_num_heads=config.decoder_heads,
        decoder_mlp_dim=16,
        num_multimask_outputs=config.num_multimask_outputs,
    )
    of_decoder = [e for e in entries(decoder) if e.path[0] in DECODING_PARTS]
    return (*expand(ROWS, {}, lambda binding: sizes), *of_decoder)


def guess_config(shapes):
    """Reads the sizes from the stem's kernel."""
    width, _, size, _ = shapes["conv_encoder.stem.weight"]
    return ConvConfig(width=width, patch_size=size), []


CONFIG = ConvConfig(width=12)

FAMILY = ModelFamily(
    name="convnet",
    config=ConvConfig,
    model=ConvSam,
    entries=entries_of,
    marks=r"conv_encoder\.\w+\.(?:weight|bias)",
    parts=("conv_encoder", *DECODING_PARTS),
    guess_config=guess_config,
    releases=(
        PublishedWeights(
            name="convnet_12",
            file="convnet_12.pth",
            config=CONFIG,
            parameters=1,
            licence="Apache-2.0",
            source="a test",
            sha256="0" * 64,
            folder_url="https://weights.example",
        ),
    ),
)
