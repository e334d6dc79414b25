"""Segment Anything: image encoder, prompt encoder and mask decoder (SAM, figure 4)."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from samjax.models.attention import AttentionKind
from samjax.models.image_encoder import ImageEncoder
from samjax.models.mask_decoder import MaskDecoder, MaskPrediction
from samjax.models.prompt_encoder import PromptEmbeddings, PromptEncoder, PromptInputs

__all__ = [
    "SIZES",
    "SMALL",
    "TINY",
    "VIT_B",
    "VIT_H",
    "VIT_L",
    "MaskPrediction",
    "Sam",
]


@dataclass(frozen=True, kw_only=True)
class SamConfig:
    """The sizes of a model; everything that its parameters' shapes depend on.

    Attributes:
        image_size: Side of the square input in pixels; images are resized so that
            their longer side is this, and padded.
        patch_size: Side of a patch in pixels.
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
        drop_path_rate: Drop path of the last encoder block, in training.
        remat: Recompute encoder blocks in the backward pass, in training.
        scan: Compile one stage of encoder blocks and loop over stages, where compiling
            takes long; the global blocks have to lie in equal distances.
    """

    image_size: int = 1024
    patch_size: int = 16
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
    drop_path_rate: float = 0.0
    remat: bool = False
    scan: bool = False

    @property
    def grid_size(self) -> int:
        """Side of the square image embedding, in patches."""
        return self.image_size // self.patch_size

    def as_fields(self) -> dict[str, Any]:
        """The fields by name, as files and hashes have them.

        `final_norm` is among them only where it is on, so that files and hashes of
        models without it are those of versions that did not know it.
        """
        fields = dataclasses.asdict(self)
        if not self.final_norm:
            del fields["final_norm"]
        return fields


class Sam(nn.Module):
    """The promptable model.

    A pure function of its parameters: `model.apply({"params": params}, pixels,
    method="encode_image")` embeds images, `method="decode"` answers prompts. Prompts
    are many per image and images many per batch; inputs of other sides than
    `config.image_size`, rectangles included, work by resized position tables.

    Attributes:
        config: The sizes.
        dtype: Compute dtype, float32 or bfloat16; parameters are float32.
        attention: How large grids attend; see `attend_with_relative_positions`.
    """

    config: SamConfig
    dtype: DTypeLike = jnp.float32
    attention: AttentionKind = "auto"

    def setup(self):
        config = self.config
        if jnp.dtype(self.dtype) not in (jnp.float32, jnp.bfloat16):
            raise ValueError(
                f"Got the compute dtype {jnp.dtype(self.dtype).name}, expected float32 "
                "or bfloat16: float16 overflows in ViT-H."
            )
        self.image_encoder = ImageEncoder(
            grid_size=config.grid_size,
            patch_size=config.patch_size,
            embed_dim=config.embed_dim,
            depth=config.depth,
            num_heads=config.num_heads,
            global_attention_blocks=config.global_attention_blocks,
            window_size=config.window_size,
            mlp_ratio=config.mlp_ratio,
            out_channels=config.prompt_embed_dim,
            final_norm=config.final_norm,
            drop_path_rate=config.drop_path_rate,
            remat=config.remat,
            scan=config.scan,
            attention=self.attention,
            dtype=self.dtype,
        )
        self.prompt_encoder = PromptEncoder(
            config.prompt_embed_dim, config.mask_in_chans, self.dtype
        )
        self.mask_decoder = MaskDecoder(
            channels=config.prompt_embed_dim,
            num_multimask_outputs=config.num_multimask_outputs,
            depth=config.decoder_depth,
            num_heads=config.decoder_num_heads,
            mlp_dim=config.decoder_mlp_dim,
            dtype=self.dtype,
        )

    def __call__(
        self,
        pixels: Float[Array, "b h w 3"],
        prompts: PromptInputs,
        *,
        deterministic: bool = True,
    ) -> MaskPrediction:
        """Embeds images and answers their prompts, in one go."""
        return self.decode(
            self.encode_image(pixels, deterministic=deterministic), prompts
        )

    def encode_image(
        self, pixels: Float[Array, "b h w 3"], *, deterministic: bool = True
    ) -> Float[Array, "b gh gw c"]:
        """Embeds normalized, zero-padded images.

        Args:
            pixels: Images after `samjax.geometry.frame.normalize`.
            deterministic: Turns drop path off; otherwise pass `rngs={"drop_path": key}`.

        Returns:
            Image embeddings, one vector per patch.
        """
        return self.image_encoder(pixels, deterministic)

    def encode_prompts(
        self, prompts: PromptInputs, grid: tuple[int, int]
    ) -> PromptEmbeddings:
        """Embeds prompts for image embeddings of a `grid` (h, w)."""
        patch_size = self.config.patch_size
        return self.prompt_encoder(
            prompts, (grid[0] * patch_size, grid[1] * patch_size)
        )

    def decode(
        self,
        image_embeddings: Float[Array, "b gh gw c"],
        prompts: PromptInputs,
        origin: Int[Array, "2"] | None = None,
    ) -> MaskPrediction:
        """Predicts all masks, single and multiple, of every prompt set.

        Args:
            image_embeddings: Of whole inputs, or of parts of inputs of the model's size.
            prompts: In pixels of what was embedded.
            origin: The (x, y) of a part's first patch, in patches of the whole; None
                where nothing else is there.
        """
        grid = frame = (image_embeddings.shape[1], image_embeddings.shape[2])
        if origin is not None:
            frame = (self.config.grid_size, self.config.grid_size)
            corner = (origin * self.config.patch_size).reshape(1, 1, 1, 2)
            prompts = prompts._replace(points=prompts.points + corner)
        return self.mask_decoder(
            image_embeddings,
            self.prompt_encoder.encode_grid(grid, frame, origin),
            self.encode_prompts(prompts, frame),
        )


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
# trained on, so that what it learns there is of use on large ones.
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
