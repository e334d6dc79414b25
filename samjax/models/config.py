"""Configs: what weights are, apart from how they are run.

An architecture is all that the shapes and the meaning of a model's parameters depend on;
files of weights carry it, and hashes of weights cover it. Compute options change how a
model is run in training, and are in no file or hash. A config is both, as one
flat set of fields. Two more choices of how a model is run, the compute dtype and the
attention kernel, are attributes of the module (`Sam.dtype`, `Sam.attention`).
"""

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

from samjax.models.params import IMAGE_ENCODER, PARTS

MAX_SIZE = 2**16
"""Larger sizes are mistakes or attacks; ViT-H's widest layer has 5120."""


@dataclass(frozen=True, kw_only=True)
class ComputeOptions:
    """How a model is run in training; its weights do not depend on it.

    Attributes:
        drop_path_rate: Drop path of the last encoder block, in training.
        remat: Recompute encoder blocks in the backward pass, in training.
        scan: Compile one stage of encoder blocks and loop over stages, where compiling
            takes long; requires equally spaced global blocks.
    """

    drop_path_rate: float = 0.0
    remat: bool = False
    scan: bool = False


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """Sizes that every image model has; the base of each family's own.

    A family's config is a subclass of its architecture and of `ComputeOptions`, if its
    modules have such options, and the architecture itself otherwise. Those of promptable
    models also have `prompt_embed_dim`, the channels of the image embedding, and
    `num_multimask_outputs`.

    Attributes:
        image_size: Side of the square input in pixels; images are resized so that
            their longer side is this, and padded.
        patch_size: Side of a patch in pixels; the stride of the image embedding.
        parts: Parts of the tree of parameters, its first keys.
        encoder_parts: Those that image embeddings depend on.
        decoder_fields: Names of the fields that image embeddings do not depend on.
    """

    image_size: int = 1024
    patch_size: int = 16

    parts: ClassVar[tuple[str, ...]] = PARTS
    encoder_parts: ClassVar[tuple[str, ...]] = (IMAGE_ENCODER,)
    decoder_fields: ClassVar[tuple[str, ...]] = ()

    @property
    def grid_size(self) -> int:
        """Side of the square image embedding, in patches."""
        return self.image_size // self.patch_size

    @property
    def architecture(self) -> "Architecture":
        """The config without its compute options."""
        kind = next(
            base for base in type(self).__mro__ if not issubclass(base, ComputeOptions)
        )
        fields = dataclasses.fields(kind)
        return kind(**{field.name: getattr(self, field.name) for field in fields})

    @property
    def num_repeats(self) -> int:
        """The most times that a module is repeated; the tensors are at least as many."""
        return 1

    def as_fields(self) -> dict[str, Any]:
        """Returns the fields by name, as files and hashes have them."""
        return dataclasses.asdict(self)

    def encoder_fields(self) -> dict[str, Any]:
        """Returns the fields of the architecture that image embeddings depend on."""
        return {
            name: value
            for name, value in self.architecture.as_fields().items()
            if name not in self.decoder_fields
        }

    def problems(self) -> list[str]:
        """Lists the reasons why no model can have these sizes.

        A size whose default is 0 is that of a part which a model may do without.
        """
        problems = []
        for field in dataclasses.fields(self):
            least = 0 if field.default == 0 else 1
            value = getattr(self, field.name)
            if field.type is int and not least <= value <= MAX_SIZE:
                problems.append(
                    f"{field.name} is {value}, expected {least} to {MAX_SIZE}"
                )
        return problems


@dataclass(frozen=True, kw_only=True)
class SamArchitecture(Architecture):
    """The sizes of SAM: everything that its parameters' shapes depend on.

    Attributes:
        embed_dim: Channels of the image encoder's tokens.
        depth: Blocks of the image encoder.
        num_heads: Attention heads of a block.
        global_attention_blocks: Indices of the blocks that attend over the whole grid.
        window_size: Side of the attention windows of the other blocks, in tokens.
        mlp_ratio: Width of the image encoder's MLPs over `embed_dim`.
        prompt_embed_dim: Channels of the image embedding and of prompt tokens.
        mask_in_chans: Width of the prompt encoder's mask convolutions.
        decoder_depth: Layers of the mask decoder's two-way transformer.
        decoder_num_heads: Attention heads of those layers.
        decoder_mlp_dim: Hidden width of their MLPs.
        num_multimask_outputs: Masks for an ambiguous prompt, beside the single one.
        final_norm: LayerNorm after the last block, before the neck. DINOv2 has one, the
            released models do not.
    """

    embed_dim: int
    depth: int
    num_heads: int
    global_attention_blocks: tuple[int, ...]
    window_size: int = 14
    mlp_ratio: float = 4.0
    prompt_embed_dim: int = 256
    mask_in_chans: int = 16
    decoder_depth: int = 2
    decoder_num_heads: int = 8
    decoder_mlp_dim: int = 2048
    num_multimask_outputs: int = 3
    final_norm: bool = False

    # Part of the hash of every stored embedding: a field that leaves it, or joins it,
    # makes them all stale.
    decoder_fields: ClassVar[tuple[str, ...]] = (
        "mask_in_chans",
        "decoder_depth",
        "decoder_num_heads",
        "decoder_mlp_dim",
        "num_multimask_outputs",
    )

    @property
    def text_dim(self) -> int:
        """Width of the vectors of texts that the prompt encoder takes; 0 for none."""
        return 0

    @property
    def similarity_width(self) -> int:
        """Hidden width of the comparison of images with texts; 0 for none."""
        return 0

    @property
    def num_repeats(self) -> int:
        """The most times that a module is repeated; the tensors are at least as many."""
        return max(self.depth, self.decoder_depth, self.num_multimask_outputs)

    def as_fields(self) -> dict[str, Any]:
        """Returns the fields by name, as files and hashes have them.

        `final_norm` is included only where it is on, so that files and hashes of
        models without it are those of versions before the field.
        """
        fields = super().as_fields()
        if not self.final_norm:
            del fields["final_norm"]
        return fields

    def problems(self) -> list[str]:
        """Lists the reasons why no model can have these sizes."""
        problems = super().problems()
        if problems:
            return problems
        hidden = self.embed_dim * self.mlp_ratio
        if not 1 <= hidden <= MAX_SIZE:
            problems.append(
                f"mlp_ratio is {self.mlp_ratio}, which makes a hidden width of {hidden}, "
                f"expected 1 to {MAX_SIZE}"
            )
        if not all(0 <= block < self.depth for block in self.global_attention_blocks):
            problems.append(
                f"global_attention_blocks is {self.global_attention_blocks!s:.200}, "
                f"expected blocks below the depth {self.depth}"
            )
        for dividend, divisor in (
            ("image_size", self.patch_size),
            ("embed_dim", self.num_heads),
            ("prompt_embed_dim", 2 * self.decoder_num_heads),
            ("prompt_embed_dim", 8),
            ("mask_in_chans", 4),
        ):
            value = getattr(self, dividend)
            if value % divisor:
                problems.append(
                    f"{dividend} is {value}, expected a multiple of {divisor}"
                )
        return problems


@dataclass(frozen=True, kw_only=True)
class SamConfig(ComputeOptions, SamArchitecture):
    """SAM's architecture and how it is run in training; all fields of both.

    Two models share weights if their `architecture` is equal.
    """

    @property
    def architecture(self) -> SamArchitecture:
        """The config without its compute options."""
        architecture = super().architecture
        assert isinstance(architecture, SamArchitecture)
        return architecture

    def problems(self) -> list[str]:
        """Lists the reasons why no model can have these sizes and options."""
        problems = super().problems()
        if not 0 <= self.drop_path_rate < 1:
            problems.append(f"drop_path_rate is {self.drop_path_rate}, expected 0 to 1")
        return problems


VIT_B = SamConfig(
    embed_dim=768, depth=12, num_heads=12, global_attention_blocks=(2, 5, 8, 11)
)
VIT_L = SamConfig(
    embed_dim=1024, depth=24, num_heads=16, global_attention_blocks=(5, 11, 17, 23)
)
VIT_H = SamConfig(
    embed_dim=1280, depth=32, num_heads=16, global_attention_blocks=(7, 15, 23, 31)
)
# The bundled model: the released models' grid of 64 x 64 and masks of 256 x 256, from
# images of half their side. A window is the whole of the smallest images that it is
# trained on, so that attention learned there transfers to large ones.
TINY = SamConfig(
    image_size=512,
    patch_size=8,
    embed_dim=192,
    depth=8,
    num_heads=3,
    global_attention_blocks=(3, 7),
    window_size=16,
    decoder_mlp_dim=1024,
)
# The bundled model for photos: a DINOv2 ViT-S under SAM's neck and decoder. Windows of
# 24 x 24 tokens cut the grid of 48 x 48 into four without padding, and with the global
# blocks late they change the pre-trained features least: mean cosine to those of
# global attention in all blocks 0.88, against 0.84 with blocks 2, 5, 8 and 11, and 0.59
# with those and windows of 16.
SMALL = SamConfig(
    image_size=768,
    patch_size=16,
    embed_dim=384,
    depth=12,
    num_heads=6,
    global_attention_blocks=(5, 7, 9, 11),
    window_size=24,
    decoder_mlp_dim=1024,
    final_norm=True,
)
SIZES = {
    "vit_b": VIT_B,
    "vit_l": VIT_L,
    "vit_h": VIT_H,
    "small": SMALL,
    "tiny": TINY,
}
