"""A segmenter whose image embeddings are colours, for the probe of the latent space."""

import jax.numpy as jnp
import numpy as np
from small_photo_set import ColorSegmenter

from samjax.evaluation.policies.mask_embeddings import (
    overlaps_along,
    shares_of_positions,
)
from samjax.geometry.frame import Frame
from samjax.inference.embedding import ImageEmbedding


class ColorEmbedder(ColorSegmenter):
    """Embeds each position by the mean colour of its pixels, on a grid of 8 x 8."""

    def embed(self, image):
        self.embedded += 1
        frame = Frame.fit(image.shape[:2], 64)
        ones = np.ones(image.shape[:2], bool)
        rows = shares_of_positions(ones, (8, 8), frame.resized_size, 64)
        features = np.stack(
            [
                _means(image[..., channel], frame) / np.maximum(rows, 1e-6)
                for channel in range(3)
            ],
            axis=-1,
        )
        return ImageEmbedding(jnp.asarray(features, jnp.float32), frame, "colours")


def _means(channel, frame):
    rows = overlaps_along(channel.shape[0], frame.resized_size[0], 8, 64)
    columns = overlaps_along(channel.shape[1], frame.resized_size[1], 8, 64)
    return rows @ channel.astype(np.float32) @ columns.T
