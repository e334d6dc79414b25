"""Where a text is true: a map of an image embedding's similarity to a vector of a text.

An addition of samjax for small models. In SAM a text is a token like a point's (appendix
D.5), and the mask decoder alone has to find what it names, which takes a large dataset to
learn. Here the cells of the image embedding and the vectors of texts are first compared
in a joint space, which few photos suffice to learn; the map of similarities reaches the
decoder where a mask prompt does, as an addition to the image embedding.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Real

from samjax.models.layers import ENCODER_EPSILON, gelu, layer_norm

MAP_WIDTH = 32
"""Hidden width of the network from the similarity of a cell to its dense embedding."""


class TextSimilarity(nn.Module):
    """Compares every cell of an image embedding with texts.

    Attributes:
        width: Hidden width of the network of a cell.
        text_dim: Width of the vectors of texts.
        channels: Channels of the image embedding.
    """

    width: int
    text_dim: int
    channels: int

    def setup(self):
        self.norm = layer_norm(ENCODER_EPSILON, jnp.float32)
        self.features = nn.Dense(self.width)
        self.place = nn.Dense(self.width)
        self.joint = nn.Dense(self.text_dim)
        # Factor and offset of the logits.
        self.calibration = self.param(
            "calibration", lambda key: jnp.array([10.0, -4.0], jnp.float32)
        )
        self.map_hidden = nn.Dense(MAP_WIDTH)
        # Zero at first: the model starts as the SAM that it is made from.
        self.map_output = nn.Dense(
            self.channels, kernel_init=nn.initializers.zeros_init()
        )

    def __call__(
        self,
        image_embeddings: Float[Array, "b gh gw c"],
        text: Float[Array, "b p e"],
        frame: tuple[int, int],
        origin: Int[Array, "2"] | None = None,
    ) -> Float[Array, "b p gh gw c"]:
        """Returns a dense embedding for every text, to be added to the image embedding.

        Args:
            image_embeddings: Embeddings of whole inputs, or of crops of them.
            text: Vectors of texts, of length 1.
            frame: Height and width of the whole input, in cells.
            origin: (x, y) of a crop's first cell in it; None for whole inputs.
        """
        cells = self.embed_cells(image_embeddings, frame, origin)
        logits = self.compare(cells, text)
        best = jnp.max(logits, axis=(-2, -1), keepdims=True)
        return self.map_output(self.describe(logits, best))

    def describe(
        self, logits: Float[Array, "*s"], best: Float[Array, "*#s"]
    ) -> Float[Array, "*s h"]:
        """Returns what the dense embedding is a linear function of.

        Args:
            logits: Those of cells.
            best: The highest of the same text and image, a reference for all others.
        """
        seen = [0.2 * logits, jax.nn.sigmoid(logits), 0.2 * (logits - best)]
        return gelu(self.map_hidden(jnp.stack(seen, axis=-1)))

    def embed_cells(
        self,
        image_embeddings: Float[Array, "b gh gw c"],
        frame: tuple[int, int],
        origin: Real[Array, "2"] | None = None,
    ) -> Float[Array, "b gh gw e"]:
        """Returns a vector of length 1 for every cell, in the space of texts.

        Args:
            image_embeddings: Embeddings of whole inputs, of crops of them, or of every
                second cell.
            frame: Height and width of the whole input, in such cells.
            origin: (x, y) of the first cell in it, as a fraction of cells too.
        """
        grid = (image_embeddings.shape[1], image_embeddings.shape[2])
        hidden = self.features(self.norm(image_embeddings.astype(jnp.float32)))
        hidden = hidden + self.place(place_functions(grid, frame, origin))[None]
        vectors = self.joint(gelu(hidden))
        squares = jnp.sum(jnp.square(vectors), axis=-1, keepdims=True)
        return vectors * jax.lax.rsqrt(squares + 1e-6)

    def compare(
        self, cells: Float[Array, "b gh gw e"], text: Float[Array, "b p e"]
    ) -> Float[Array, "b p gh gw"]:
        """Returns the logit of each text in each cell."""
        factor, offset = self.calibration
        return factor * jnp.einsum("bhwe,bpe->bphw", cells, text) + offset


def place_functions(
    grid: tuple[int, int],
    frame: tuple[int, int],
    origin: Real[Array, "2"] | None = None,
) -> Float[Array, "gh gw 6"]:
    """Returns smooth functions of the place of each cell, for "left" and "top".

    Args:
        grid: Height and width in cells.
        frame: Those of the whole input.
        origin: (x, y) of the first cell in it; None for whole inputs.
    """
    y = jnp.arange(grid[0], dtype=jnp.float32) + 0.5
    x = jnp.arange(grid[1], dtype=jnp.float32) + 0.5
    if origin is not None:
        x, y = x + origin[0], y + origin[1]
    x, y = jnp.meshgrid(2 * x / frame[1] - 1, 2 * y / frame[0] - 1)
    return jnp.stack([x, y, x * x, y * y, x**3, y**3], axis=-1)
