"""CLIP: the vision tower, the text tower, and the scale of their similarities."""

from typing import ClassVar, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from samjax.models.clip.config import ClipConfig
from samjax.models.clip.text_tower import TextTower
from samjax.models.clip.towers import VisionTower

# Of pixels on the scale 0..1.
PIXEL_MEAN = (0.48145466, 0.4578275, 0.40821073)
PIXEL_STD = (0.26862954, 0.26130258, 0.27577711)


class ClipEmbeddings(NamedTuple):
    """Images and texts in the joint space, not normalized.

    Attributes:
        images: A vector per image.
        texts: A vector per text.
    """

    images: Float[Array, "i e"]
    texts: Float[Array, "n e"]


class DualEncoder(nn.Module):
    """A model that embeds images and texts in one space, such as CLIP and SigLIP.

    Its methods are `embed_image(pixels, inside)` and `embed_text(tokens)`.

    Attributes:
        pixel_mean: Mean that pixels on the scale 0..1 are normalized by.
        pixel_std: Deviation that they are normalized by.
        reads_end: Whether a text is read at its end token and attention is causal, so
            that padding does not matter.
    """

    pixel_mean: ClassVar[tuple[float, float, float]]
    pixel_std: ClassVar[tuple[float, float, float]]
    reads_end: ClassVar[bool]


class Clip(DualEncoder):
    """The dual encoder.

    A pure function of its parameters: `model.apply({"params": params}, pixels,
    method="embed_image")` embeds images, `method="embed_text"` texts.

    Attributes:
        config: The sizes.
        dtype: Compute dtype, float32 or bfloat16; parameters are float32.
    """

    pixel_mean = PIXEL_MEAN
    pixel_std = PIXEL_STD
    reads_end = True

    config: ClipConfig
    dtype: DTypeLike = jnp.float32

    def setup(self):
        config = self.config
        self.visual = VisionTower(config, self.dtype)
        self.text = TextTower(
            width=config.text_width,
            depth=config.text_depth,
            num_heads=config.text_heads,
            mlp_dim=config.text_mlp_dim,
            embed_dim=config.embed_dim,
            vocab_size=config.vocab_size,
            context_length=config.context_length,
            quick=config.quick_gelu,
            dtype=self.dtype,
        )
        # The release has the parts of the text tower beside `visual`.
        nn.share_scope(self, self.text)
        self.logit_scale = self.param(
            "logit_scale", nn.initializers.constant(np.log(1 / 0.07)), ()
        )

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts of the tree of parameters that the model needs, its first keys."""
        return self.config.parts

    def __call__(
        self, pixels: Float[Array, "i h w 3"], tokens: Int[Array, "n t"]
    ) -> ClipEmbeddings:
        """Embeds images and texts, any number of each."""
        return ClipEmbeddings(self.embed_image(pixels), self.embed_text(tokens))

    def embed_image(
        self,
        pixels: Float[Array, "b h w 3"],
        inside: Bool[Array, "b gh gw"] | None = None,
    ) -> Float[Array, "b e"]:
        """Embeds square images of the model's size.

        Args:
            pixels: Normalized by CLIP's mean and deviation, `PIXEL_MEAN` and `PIXEL_STD`.
            inside: Patches that the output token attends to in the last layer, at least
                one of each image, as for crops of masks in the training of text prompts
                (SAM, appendix D.5); None for no restriction.

        Returns:
            A vector per image in the joint space, not normalized.

        Raises:
            ValueError: The images have another size.
        """
        side = self.config.image_size
        if pixels.shape[1:3] != (side, side):
            raise ValueError(
                f"Got images of {pixels.shape[1]} x {pixels.shape[2]} pixels, expected "
                f"{side} x {side}: resize them."
            )
        return self.visual(pixels, inside)

    def embed_text(self, tokens: Int[Array, "b t"]) -> Float[Array, "b e"]:
        """Embeds texts.

        Args:
            tokens: Rows of `samjax.text.ClipTokenizer`, of the context's length or less.
                What is after the end token does not matter.

        Returns:
            A vector per text in the joint space, not normalized.

        Raises:
            ValueError: The rows are longer than the context.
        """
        return self.text(tokens)
