"""OWLv2: heads on the tokens of CLIP's vision tower."""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from samjax.models.clip.model import Clip, ClipEmbeddings
from samjax.models.clip.towers import EPSILON
from samjax.models.layers import gelu, layer_norm
from samjax.models.owl.config import OwlConfig


class OwlDetections(NamedTuple):
    """A box for every patch of an image, none of them filtered.

    Attributes:
        boxes: (centre x, centre y, width, height), shares of the padded square's side.
        logits: Similarity to each text; its sigmoid is the score.
        objectness: Logit of being an object, whatever it is.
    """

    boxes: Float[Array, "b q 4"]
    logits: Float[Array, "b q n"]
    objectness: Float[Array, "b q"]


class Owl(Clip):
    """The detector: `method="detect"` finds boxes of texts that `embed_text` embedded.

    Attributes:
        config: The sizes.
    """

    config: OwlConfig  # type: ignore[assignment]

    def setup(self):
        super().setup()
        self.layer_norm = layer_norm(EPSILON, self.dtype)
        self.class_head = ClassHead(self.config.embed_dim, self.dtype)
        self.box_head = PatchHead(4, self.dtype)
        self.objectness_head = PatchHead(1, self.dtype)

    def __call__(
        self, pixels: Float[Array, "i h w 3"], tokens: Int[Array, "n t"]
    ) -> ClipEmbeddings:
        """Embeds images and texts as CLIP does, without the heads."""
        embeddings = super().__call__(pixels, tokens)
        if self.is_initializing():
            self.detect(pixels, embeddings.texts)
        return embeddings

    def detect(
        self, pixels: Float[Array, "b h w 3"], texts: Float[Array, "n e"]
    ) -> OwlDetections:
        """Predicts boxes and their similarities to texts.

        Args:
            pixels: Square images, padded at the bottom and right, normalized as CLIP's.
            texts: Vectors of `embed_text`, of any length.
        """
        tokens = self.visual(pixels, pooled=False)
        features = self.layer_norm(tokens[:, 1:] * tokens[:, :1])
        side = self.config.grid_size
        boxes = self.box_head(features).astype(jnp.float32) + box_bias(side)[None]
        return OwlDetections(
            boxes=jax.nn.sigmoid(boxes),
            logits=self.class_head(features, texts),
            objectness=self.objectness_head(features).astype(jnp.float32)[..., 0],
        )


class PatchHead(nn.Module):
    """Three dense layers on every patch.

    Attributes:
        features: Numbers out.
        dtype: Compute dtype; parameters are float32.
    """

    features: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Float[Array, "b q c"]) -> Float[Array, "b q f"]:
        width = x.shape[-1]
        x = gelu(nn.Dense(width, dtype=self.dtype, name="dense0")(x))
        x = gelu(nn.Dense(width, dtype=self.dtype, name="dense1")(x))
        return nn.Dense(self.features, dtype=self.dtype, name="dense2")(x)


class ClassHead(nn.Module):
    """Similarity of patches and texts, with a shift and a scale of each patch.

    Attributes:
        embed_dim: Width of the vectors of texts.
        dtype: Compute dtype; parameters are float32.
    """

    embed_dim: int
    dtype: DTypeLike

    @nn.compact
    def __call__(
        self, x: Float[Array, "b q c"], texts: Float[Array, "n e"]
    ) -> Float[Array, "b q n"]:
        vectors = _unit(nn.Dense(self.embed_dim, dtype=self.dtype, name="dense0")(x))
        logits = jnp.einsum("bqe,ne->bqn", vectors, _unit(_unit(texts)))
        shift = nn.Dense(1, dtype=self.dtype, name="logit_shift")(x)
        scale = nn.Dense(1, dtype=self.dtype, name="logit_scale")(x)
        return (logits + shift) * (jax.nn.elu(scale) + 1)


def _unit(vectors: Float[Array, "*s e"]) -> Float[Array, "*s e"]:
    vectors = vectors.astype(jnp.float32)
    return vectors / (jnp.linalg.norm(vectors, axis=-1, keepdims=True) + 1e-6)


def box_bias(side: int) -> Float[Array, "q 4"]:
    """Returns the logits of a patch's own place and size, which the head adds to.

    Args:
        side: Patches on a side of the image. The place is the patch's lower right
            corner, as in the release.
    """
    corner = jnp.arange(1, side + 1, dtype=jnp.float32) / side
    x, y = jnp.meshgrid(corner, corner)
    size = jnp.full_like(x, 1 / side)
    places = jnp.stack([x, y, size, size], axis=-1).reshape(-1, 4)
    return jnp.log(places + 1e-4) - jnp.log1p(-places + 1e-4)
