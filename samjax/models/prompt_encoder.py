"""The prompt encoder: texts, points, boxes and masks to tokens and a dense embedding.

SAM section 3 and appendix A: points and box corners are Fourier positional encodings
plus a learned embedding of their kind; a mask goes through three small convolutions
and is added to the image embedding. A text is a vector of a text tower, and one linear
layer makes it the first of the tokens (appendix D.5).

All other sparse prompts are one list of labelled points, as in the release's exported
decoder, so that shapes stay static. The host composes the list as the release does:
points first; after them, only if there is no box, one `NOT_A_POINT`; then the two box
corners. `NOT_A_POINT` is a real token that the decoder attends to. Slots labelled
`ABSENT` are masked out of attention, so that padding with them does not change results.
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from samjax.models.layers import ENCODER_EPSILON, PatchProjection, gelu, layer_norm
from samjax.models.text_similarity import TextSimilarity

ABSENT = -2
NOT_A_POINT = -1
BACKGROUND = 0
FOREGROUND = 1
BOX_TOP_LEFT = 2
BOX_BOTTOM_RIGHT = 3


ABSENT_TOKEN = {"points": 0, "labels": ABSENT}
"""The fields of `PromptInputs` with an entry per token, and their values of an absent one."""


class PromptInputs(NamedTuple):
    """Prompts of a batch of images, in the frame of the model's input.

    The same fields without the axes "b p" are the inputs of one prompt set before it is
    packed into a batch (`samjax.inference.batching`).

    Attributes:
        points: Float "b p n 2", (x, y) in pixels of the padded model input, where a
            pixel's own coordinate is its top left corner: the encoder adds 0.5.
        labels: Int "b p n", one of the codes of this module.
        masks: Float "b p 4*gh 4*gw", logits of mask prompts at a quarter of the model
            input's resolution, or None where no prompt set has a mask.
        has_mask: Bool "b p", which sets have a mask; None means all, if `masks` is
            given.
        text: Float "b p e", vectors of texts of length 1, or None where no prompt set
            has a text; all of a batch have one, or none.
    """

    points: Array | np.ndarray
    labels: Array | np.ndarray
    masks: Array | np.ndarray | None = None
    has_mask: Array | np.ndarray | None = None
    text: Array | np.ndarray | None = None


class PromptEmbeddings(NamedTuple):
    """Output of the prompt encoder.

    Attributes:
        sparse: Float "b p n c", the prompt tokens.
        token_mask: Bool "b p n", False where the token is absent.
        dense: Float "b p gh gw c", to be added to the image embedding; "1 1 1 1 c"
            where no prompt set has a mask, so that the image side is computed once.
    """

    sparse: Array
    token_mask: Array
    dense: Array


class PromptEncoder(nn.Module):
    """Embeds prompts.

    Attributes:
        embed_dim: Channels of the tokens and of the image embedding.
        mask_in_chans: Width of the mask convolutions before the last.
        dtype: Compute dtype of the mask convolutions. Positions are always float32.
        text_dim: Width of the vectors of texts; 0 for models without text.
        similarity_width: Hidden width of `TextSimilarity`; 0 for models without it.
    """

    embed_dim: int
    mask_in_chans: int
    dtype: DTypeLike = jnp.float32
    text_dim: int = 0
    similarity_width: int = 0

    def setup(self):
        def embedding(name):
            return nn.Embed(
                1, self.embed_dim, embedding_init=nn.initializers.normal(1.0), name=name
            )

        self.pe_layer = PositionEncoding(self.embed_dim // 2)
        self.point_embeddings = [embedding(f"point_embeddings_{i}") for i in range(4)]
        self.not_a_point_embed = embedding("not_a_point_embed")
        self.no_mask_embed = embedding("no_mask_embed")
        if self.text_dim:
            self.text_projection = nn.Dense(self.embed_dim)
        if self.similarity_width:
            self.text_similarity = TextSimilarity(
                self.similarity_width, self.text_dim, self.embed_dim
            )
        quarter = self.mask_in_chans // 4
        self.mask_downscaling = (
            PatchProjection(quarter, 2, dtype=self.dtype, name="mask_downscaling_0"),
            layer_norm(ENCODER_EPSILON, self.dtype, "mask_downscaling_1"),
            gelu,
            PatchProjection(
                self.mask_in_chans, 2, dtype=self.dtype, name="mask_downscaling_3"
            ),
            layer_norm(ENCODER_EPSILON, self.dtype, "mask_downscaling_4"),
            gelu,
            PatchProjection(
                self.embed_dim, 1, dtype=self.dtype, name="mask_downscaling_6"
            ),
        )

    def __call__(
        self, prompts: PromptInputs, input_size: tuple[int, int]
    ) -> PromptEmbeddings:
        """Embeds the prompts of images whose model input is `input_size` (h, w)."""
        points, labels = jnp.asarray(prompts.points), jnp.asarray(prompts.labels)
        sparse, token_mask = (
            self._embed_points(points, labels, input_size),
            labels != ABSENT,
        )
        if prompts.text is not None or (self.text_dim and self.is_initializing()):
            token = self._embed_text(prompts.text, labels)
            sparse = jnp.concatenate([token, sparse], axis=2)
            token_mask = jnp.pad(
                token_mask, ((0, 0), (0, 0), (1, 0)), constant_values=True
            )
        return PromptEmbeddings(
            sparse=sparse,
            token_mask=token_mask,
            dense=self._embed_masks(prompts.masks, prompts.has_mask),
        )

    def encode_grid(
        self,
        grid: tuple[int, int],
        frame: tuple[int, int] | None = None,
        origin: Int[Array, "2"] | None = None,
    ) -> Float[Array, "gh gw c"]:
        """Returns the positional encoding of the centres of the embedding's cells.

        Args:
            grid: Height and width of the embedding.
            frame: Height and width in cells of the frame that it is a crop of, if any.
            origin: The (x, y) in that frame of its first cell.
        """
        height, width = frame or grid
        y = jnp.arange(grid[0], dtype=jnp.float32) + 0.5
        x = jnp.arange(grid[1], dtype=jnp.float32) + 0.5
        if origin is not None:
            x, y = x + origin[0], y + origin[1]
        return self.pe_layer(jnp.stack(jnp.meshgrid(x / width, y / height), axis=-1))

    def no_mask(self) -> Float[Array, "1 1 1 1 c"]:
        """Returns the dense embedding of prompts without a mask."""
        return jnp.asarray(self.no_mask_embed.embedding).reshape(1, 1, 1, 1, -1)

    def _embed_points(
        self,
        points: Float[Array, "b p n 2"],
        labels: Int[Array, "b p n"],
        input_size: tuple[int, int],
    ) -> Float[Array, "b p n c"]:
        height, width = input_size
        size = jnp.array([width, height], jnp.float32).reshape(1, 1, 1, 2)
        positions = self.pe_layer((points.astype(jnp.float32) + 0.5) / size)
        absent = jnp.zeros((1, self.embed_dim))
        kinds = [self.not_a_point_embed, *self.point_embeddings]
        kinds = jnp.concatenate([absent, *(kind.embedding for kind in kinds)])
        # ABSENT and NOT_A_POINT have no position, only the embedding of their kind.
        is_point = (labels >= BACKGROUND)[..., None]
        return jnp.where(is_point, positions, 0.0) + kinds[labels - ABSENT]

    def _embed_text(
        self, text: Array | np.ndarray | None, labels: Int[Array, "b p n"]
    ) -> Float[Array, "b p 1 c"]:
        """Returns the token of each prompt set's text."""
        if not self.text_dim:
            raise ValueError(
                "Got vectors of texts, expected none: this model has no text projection."
            )
        if text is None:
            text = jnp.zeros((*labels.shape[:2], self.text_dim))
        return self.text_projection(jnp.asarray(text, jnp.float32))[:, :, None]

    def _embed_masks(
        self,
        masks: Array | np.ndarray | None,
        has_mask: Array | np.ndarray | None,
    ) -> Float[Array, "... c"]:
        no_mask = self.no_mask()
        if masks is None:
            if self.is_initializing():
                self._downscale(jnp.zeros((1, 1, 4, 4)))
            return no_mask
        dense = self._downscale(jnp.asarray(masks)).astype(jnp.float32)
        if has_mask is None:
            return dense
        return jnp.where(has_mask[:, :, None, None, None], dense, no_mask)

    def _downscale(self, masks: Float[Array, "b p h w"]) -> Float[Array, "b p gh gw c"]:
        x = masks[..., None]
        for layer in self.mask_downscaling:
            x = layer(x)
        return x


class PositionEncoding(nn.Module):
    """Random Fourier features of positions in the unit square, as sines then cosines.

    The frequencies are a constant of the checkpoint, not a trained parameter: no
    gradient reaches them. Everything is float32, and the product with the frequencies
    is written out instead of a matmul, since the reduced precision of matrix units (TF32,
    bfloat16) would ruin the phases.
    """

    num_frequencies: int

    @nn.compact
    def __call__(self, coordinates: Float[Array, "*s 2"]) -> Float[Array, "*s c"]:
        frequencies = jax.lax.stop_gradient(
            self.param(
                "positional_encoding_gaussian_matrix",
                nn.initializers.normal(1.0),
                (2, self.num_frequencies),
            )
        )
        signed = 2.0 * coordinates - 1.0
        x, y = signed[..., :1], signed[..., 1:]
        by_axis = frequencies.reshape(2, *(1,) * (signed.ndim - 1), -1)
        phases = (2.0 * jnp.pi) * (x * by_axis[0] + y * by_axis[1])
        return jnp.concatenate([jnp.sin(phases), jnp.cos(phases)], axis=-1)
