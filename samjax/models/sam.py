"""Segment Anything: image encoder, prompt encoder and mask decoder (SAM, figure 4)."""

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from samjax.models.attention import AttentionKind
from samjax.models.config import SamConfig
from samjax.models.image_encoder import ImageEncoder
from samjax.models.mask_decoder import MaskDecoder, MaskPrediction
from samjax.models.prompt_encoder import PromptEmbeddings, PromptEncoder, PromptInputs

__all__ = ["MaskPrediction", "Sam", "SamConfig"]


class Sam(nn.Module):
    """The promptable model.

    A pure function of its parameters: `model.apply({"params": params}, pixels,
    method="encode_image")` embeds images, `method="decode"` predicts masks for prompts.
    A batch has several images and several prompts per image; inputs of other sizes than
    `config.image_size`, rectangles included, use resized position tables.

    Attributes:
        config: The architecture, and compute options for training.
        dtype: Compute dtype, float32 or bfloat16; parameters are float32.
        attention: Implementation of attention over large grids; see
            `attend_with_relative_positions`.
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
            config.prompt_embed_dim,
            config.mask_in_chans,
            self.dtype,
            config.text_dim,
            config.similarity_width,
        )
        self.mask_decoder = MaskDecoder(
            channels=config.prompt_embed_dim,
            num_multimask_outputs=config.num_multimask_outputs,
            depth=config.decoder_depth,
            num_heads=config.decoder_num_heads,
            mlp_dim=config.decoder_mlp_dim,
            dtype=self.dtype,
        )

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts of the tree of parameters that the model needs, its first keys."""
        return self.config.parts

    @property
    def has_text(self) -> bool:
        """Whether the model takes texts."""
        return False

    def __call__(
        self,
        pixels: Float[Array, "b h w 3"],
        prompts: PromptInputs,
        *,
        deterministic: bool = True,
    ) -> MaskPrediction:
        """Embeds images and predicts masks for their prompts."""
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
            image_embeddings: Embeddings of whole inputs, or of crops of inputs of the
                model's size.
            prompts: Prompts in pixels of the embedded input or crop.
            origin: (x, y) of a crop's first patch, in patches of the whole input; None
                for whole inputs.
        """
        grid = frame = (image_embeddings.shape[1], image_embeddings.shape[2])
        if origin is not None:
            frame = (self.config.grid_size, self.config.grid_size)
            corner = (origin * self.config.patch_size).reshape(1, 1, 1, 2)
            prompts = prompts._replace(points=prompts.points + corner)
        return self.mask_decoder(
            image_embeddings,
            self.prompt_encoder.encode_grid(grid, frame, origin),
            self.embed_prompts(image_embeddings, prompts, frame, origin),
        )

    def embed_prompts(
        self,
        image_embeddings: Float[Array, "b gh gw c"],
        prompts: PromptInputs,
        frame: tuple[int, int],
        origin: Int[Array, "2"] | None,
    ) -> PromptEmbeddings:
        """Embeds prompts for the mask decoder.

        Args:
            image_embeddings: Those that masks are decoded from.
            prompts: Prompts in pixels of the whole input.
            frame: Height and width of the whole input, in patches.
            origin: As for `decode`.
        """
        del image_embeddings, origin  # For models that compare them with texts.
        return self.encode_prompts(prompts, frame)
