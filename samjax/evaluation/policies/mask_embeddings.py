"""Embeddings of masks (SAM, appendix D.6): image embeddings pooled under the masks.

A square crop around the mask is embedded, and its mirror image; each embedding is
averaged over the positions of the mask, and the two means are averaged.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from samjax.evaluation.policies.policy import Round, Session
from samjax.evaluation.segmenter import PromptKind
from samjax.evaluation.segmenters.torch_masks import TorchEmbedding
from samjax.geometry.boxes import boxes_from_masks
from samjax.inference.embedding import ImageEmbedding


@dataclass(frozen=True, kw_only=True)
class MaskEmbeddings:
    """One round with a vector per object of the image, of length 1.

    Attributes:
        margin: Side of the crop over the longer side of the mask's box.
    """

    margin: float = 2.0

    def __post_init__(self):
        if not self.margin >= 1:
            raise ValueError(f"got margin={self.margin}, expected at least 1")

    @property
    def kinds(self) -> frozenset[PromptKind]:
        """None: images are embedded, and nothing is prompted for."""
        return frozenset()

    def rounds(self, session: Session) -> Iterator[Round]:
        """Embeds the crops of all objects of an image."""
        targets, image = session.targets(), session.sample.image
        vectors = []
        for mask, box in zip(targets, boxes_from_masks(targets), strict=True):
            top, bottom, left, right = crop_around(box, mask.shape, self.margin)
            crop, inside = image[top:bottom, left:right], mask[top:bottom, left:right]
            means = [
                pooled(session.embed(np.ascontiguousarray(pixels)), part)
                for pixels, part in (
                    (crop, inside),
                    (crop[:, ::-1], inside[:, ::-1]),
                )
            ]
            mean = np.mean(means, axis=0)
            vectors.append(mean / max(float(np.linalg.norm(mean)), 1e-12))
        if vectors:
            yield Round(
                "embeddings",
                (),
                is_scored=False,
                has_oracle=False,
                vectors=np.array(vectors, np.float32),
            )


def crop_around(
    box: np.ndarray, size: tuple[int, ...], margin: float
) -> tuple[int, int, int, int]:
    """Returns a square around a box, clipped to the image: top, bottom, left, right.

    Args:
        box: The box (4,) in pixels, XYXY.
        size: (h, w) of the image.
        margin: Side of the square over the longer side of the box.
    """
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    half = margin * max(box[2] - box[0], box[3] - box[1], 1) / 2
    top, left = max(0, int(y - half)), max(0, int(x - half))
    bottom = min(size[0], int(np.ceil(y + half)) + 1)
    right = min(size[1], int(np.ceil(x + half)) + 1)
    return top, bottom, left, right


def pooled(embedding: object, mask: Bool[np.ndarray, "h w"]) -> Float[np.ndarray, " c"]:
    """Returns the mean of an image embedding over the positions of a mask.

    A position belongs to the mask if at least half of its pixels do; of a mask that has
    none so, positions count by their share.

    Args:
        embedding: The embedding of the image.
        mask: The mask, which has a pixel.

    Raises:
        ValueError: The embedding is of a model of another family.
    """
    if isinstance(embedding, ImageEmbedding):
        features = np.asarray(embedding.features)
    elif isinstance(embedding, TorchEmbedding):
        features = embedding.feature_map()
    else:
        raise ValueError(  # noqa: TRY004
            f"got an embedding of {type(embedding).__name__}, expected one of a model "
            "whose features have positions: samjax's, the reference's or transformers'"
        )
    frame = embedding.frame
    shares = shares_of_positions(
        mask, features.shape[:2], frame.resized_size, frame.model_size
    )
    weights = (shares >= 0.5).astype(np.float32)
    weights = weights if weights.any() else shares
    return np.tensordot(weights, features, axes=2) / weights.sum()


def shares_of_positions(
    mask: Bool[np.ndarray, "h w"],
    grid: tuple[int, ...],
    resized: tuple[int, int],
    model_size: int,
) -> Float[np.ndarray, "gh gw"]:
    """Returns the share of each position of an embedding that a mask covers.

    Args:
        mask: The mask of the image.
        grid: (gh, gw) of the embedding, which covers the padded input.
        resized: (h, w) of the image in the model's input.
        model_size: Side of the model's input, in pixels.
    """
    rows = overlaps_along(mask.shape[0], resized[0], grid[0], model_size)
    columns = overlaps_along(mask.shape[1], resized[1], grid[1], model_size)
    return (rows @ mask.astype(np.float32) @ columns.T).astype(np.float32)


def overlaps_along(
    pixels: int, resized: int, positions: int, model_size: int
) -> Float[np.ndarray, "p n"]:
    """Returns which share of each position of an embedding is each pixel's, on an axis.

    Args:
        pixels: Side of the image.
        resized: That side in the model's input, in pixels.
        positions: Positions of the embedding on the axis, which cover the padded input.
        model_size: Side of the model's input, in pixels.
    """
    scale = resized / pixels * positions / model_size
    starts, stops = np.arange(pixels) * scale, (np.arange(pixels) + 1) * scale
    cells = np.arange(positions)[:, None]
    return np.clip(np.minimum(stops, cells + 1) - np.maximum(starts, cells), 0, None)
