"""SAM's modules beside a text tower (SAM, section 7.5)."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from samjax.models.clip.text_tower import TextTower
from samjax.models.mask_decoder import MaskPrediction
from samjax.models.prompt_encoder import PromptEmbeddings, PromptInputs
from samjax.models.sam import Sam
from samjax.models.siglip.text_tower import SiglipTextTower
from samjax.models.text_sam.config import TextSamConfig


class TextSam(Sam):
    """The promptable model with texts: `method="embed_text"` embeds them.

    Attributes:
        config: The architecture, and compute options for training.
    """

    config: TextSamConfig  # type: ignore[assignment]

    def setup(self):
        super().setup()
        config = self.config
        sizes = {
            "width": config.text_width,
            "depth": config.text_depth,
            "num_heads": config.text_heads,
            "mlp_dim": config.text_mlp_dim,
            "embed_dim": config.text_embed_dim,
            "vocab_size": config.vocab_size,
            "context_length": config.context_length,
            "dtype": self.dtype,
        }
        self.text_encoder = (
            TextTower(**sizes, quick=config.quick_gelu)
            if self.reads_end
            else SiglipTextTower(**sizes)
        )

    @property
    def reads_end(self) -> bool:
        """Whether a text is read at its end token, so that padding does not matter."""
        return self.config.text_tower == "clip"

    @property
    def has_text(self) -> bool:
        """Whether the model takes texts: it does."""
        return True

    def __call__(
        self,
        pixels: Float[Array, "b h w 3"],
        prompts: PromptInputs,
        *,
        deterministic: bool = True,
    ) -> MaskPrediction:
        """Embeds images and predicts masks for their prompts."""
        if self.is_initializing():
            length = self.config.context_length
            self.text_encoder(jnp.zeros((1, length), jnp.int32))
            if prompts.text is None:
                sets = prompts.labels.shape[:2]
                text = jnp.zeros((*sets, self.config.text_dim))
                prompts = prompts._replace(text=text)
        return super().__call__(pixels, prompts, deterministic=deterministic)

    def embed_prompts(
        self,
        image_embeddings: Float[Array, "b gh gw c"],
        prompts: PromptInputs,
        frame: tuple[int, int],
        origin: Int[Array, "2"] | None,
    ) -> PromptEmbeddings:
        """Embeds prompts; a text also by the map of its similarity to the image."""
        embedded = super().embed_prompts(image_embeddings, prompts, frame, origin)
        if prompts.text is None or not self.config.similarity_width:
            return embedded
        text = jnp.asarray(prompts.text, jnp.float32)
        similar = self.prompt_encoder.text_similarity(
            image_embeddings, text, frame, origin
        )
        return embedded._replace(dense=embedded.dense + similar)

    def locate_texts(
        self, image_embedding: Float[Array, "gh gw c"], text: Float[Array, "n e"]
    ) -> Float[Array, "n gh gw"]:
        """Returns the probability that a text is true of each cell of an embedding.

        For configs with a `text_similarity_width`.

        Args:
            image_embedding: The embedding of a whole input.
            text: Vectors of texts, of length 1.
        """
        similarity = self.prompt_encoder.text_similarity
        grid = (image_embedding.shape[0], image_embedding.shape[1])
        cells = similarity.embed_cells(image_embedding[None], grid)
        return jax.nn.sigmoid(similarity.compare(cells, text[None])[0])

    def embed_text(self, tokens: Int[Array, "b t"]) -> Float[Array, "b e"]:
        """Embeds texts for `PromptInputs.text`.

        Args:
            tokens: Rows of the model's tokenizer (`samjax.inference.texts.tokenizer_of`).

        Returns:
            A vector of length 1 per text, in float32.
        """
        return normalize_vectors(self.text_encoder(tokens))


def normalize_vectors(vectors: Float[Array, "*s e"]) -> Float[Array, "*s e"]:
    """Scales vectors to length 1, in float32."""
    vectors = vectors.astype(jnp.float32)
    squares = jnp.sum(jnp.square(vectors), axis=-1, keepdims=True)
    return vectors / jnp.sqrt(jnp.maximum(squares, 1e-12))
