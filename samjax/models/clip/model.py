"""CLIP: the vision tower, the text tower, and the scale of their similarities."""

from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from samjax.models.clip.config import ClipConfig
from samjax.models.clip.towers import EPSILON, Transformer, VisionTower
from samjax.models.layers import layer_norm


class ClipEmbeddings(NamedTuple):
    """Images and texts in the joint space, not normalized.

    Attributes:
        images: A vector per image.
        texts: A vector per text.
    """

    images: Float[Array, "i e"]
    texts: Float[Array, "n e"]


class Clip(nn.Module):
    """The dual encoder.

    A pure function of its parameters: `model.apply({"params": params}, pixels,
    method="embed_image")` embeds images, `method="embed_text"` texts.

    Attributes:
        config: The sizes.
        dtype: Compute dtype, float32 or bfloat16; parameters are float32.
    """

    config: ClipConfig
    dtype: DTypeLike = jnp.float32

    def setup(self):
        config = self.config
        normal = nn.initializers.normal
        self.visual = VisionTower(config, self.dtype)
        self.transformer = Transformer(
            config.text_depth,
            config.text_heads,
            config.text_mlp_dim,
            config.quick_gelu,
            self.dtype,
        )
        self.token_embedding = nn.Embed(
            config.vocab_size, config.text_width, embedding_init=normal(0.02)
        )
        self.positional_embedding = self.param(
            "positional_embedding",
            normal(0.01),
            (config.context_length, config.text_width),
        )
        self.ln_final = layer_norm(EPSILON, self.dtype)
        self.text_projection = self.param(
            "text_projection",
            normal(config.text_width**-0.5),
            (config.text_width, config.embed_dim),
        )
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

    def embed_image(self, pixels: Float[Array, "b h w 3"]) -> Float[Array, "b e"]:
        """Embeds square images of the model's size.

        Args:
            pixels: Normalized by CLIP's mean and deviation, `PIXEL_MEAN` and `PIXEL_STD`.

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
        return self.visual(pixels)

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
        length = tokens.shape[1]
        if length > self.config.context_length:
            raise ValueError(
                f"Got {length} tokens a text, expected at most "
                f"{self.config.context_length}: cut the texts."
            )
        x = self.token_embedding(tokens) + self.positional_embedding[None, :length]
        causal = jnp.tril(jnp.ones((length, length), bool))
        x = self.transformer(x.astype(self.dtype), causal)
        # The end token has the highest id, and argmax gives the first of several.
        end = jnp.argmax(tokens, axis=1)
        x = jnp.take_along_axis(x, end.reshape(-1, 1, 1), axis=1)[:, 0]
        return self.ln_final(x) @ self.text_projection.astype(self.dtype)


# Of pixels on the scale 0..1.
PIXEL_MEAN = (0.48145466, 0.4578275, 0.40821073)
PIXEL_STD = (0.26862954, 0.26130258, 0.27577711)
