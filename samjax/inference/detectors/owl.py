"""OWLv2 as a detector (Minderer et al., 2023)."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8
from PIL import Image

from samjax.inference.detectors.detector import Detections
from samjax.models.clip.model import PIXEL_MEAN, PIXEL_STD
from samjax.models.owl import Owl, OwlDetections
from samjax.text import ClipTokenizer

LEAST_SCORE = 0.01
"""Boxes below this score are not returned: each patch has one for every image."""


@dataclass(frozen=True, eq=False)
class OwlDetector:
    """OWLv2 with its parameters.

        model, params = samjax.load("google/owlv2-base-patch16-ensemble")
        detector = OwlDetector(model, params)

    Attributes:
        model: The model.
        params: Its parameters.
        templates: Phrases that each text is put into, in place of {}; the vectors of
            several are averaged.
        is_exclusive: Whether a patch's box is of the text that it is most like, as in
            the release; if not, each text has the boxes that it has alone.
    """

    model: Owl
    params: Mapping[str, Any]
    templates: tuple[str, ...] = ("{}",)
    is_exclusive: bool = True

    def detect(
        self, image: UInt8[np.ndarray, "h w 3"], texts: Sequence[str]
    ) -> Detections:
        """Finds the boxes of texts, by default each patch's of the text it is most like.

        Args:
            image: RGB.
            texts: What to look for.

        Returns:
            Boxes in pixels of the image, those of at least `LEAST_SCORE`.

        Raises:
            ValueError: There is no text.
        """
        if not texts:
            raise ValueError("got no texts, expected at least one")
        pixels = square_pixels(image, self.model.config.image_size)
        vectors = self._embed(tuple(texts))
        # Texts in powers of two, so that few numbers of them are compiled.
        padded = np.zeros((1 << (len(vectors) - 1).bit_length(), vectors.shape[1]))
        padded[: len(vectors)] = vectors
        found = _detect(
            self.params, pixels[None], padded.astype(np.float32), model=self.model
        )
        logits = np.asarray(found.logits)[0, :, : len(texts)]
        scores = 1 / (1 + np.exp(-np.float64(logits)))
        kept = scores >= LEAST_SCORE
        if self.is_exclusive:
            kept &= np.arange(len(texts)) == logits.argmax(1)[:, None]
        patches, indices = np.nonzero(kept)
        boxes = corners(np.asarray(found.boxes)[0]) * max(image.shape[:2])
        return Detections(boxes[patches], scores[kept], indices)

    def _embed(self, texts: tuple[str, ...]) -> np.ndarray:
        tokenize = ClipTokenizer(context_length=self.model.config.context_length)
        vectors = [
            [self._embed_phrase(tokenize(template.format(text))) for text in texts]
            for template in self.templates
        ]
        return np.mean(vectors, axis=0)

    def _embed_phrase(self, tokens: np.ndarray) -> np.ndarray:
        vector = np.asarray(_embed_text(self.params, tokens, model=self.model))[0]
        return vector / (np.linalg.norm(vector) + 1e-6)


def square_pixels(
    image: UInt8[np.ndarray, "h w 3"], side: int
) -> Float[np.ndarray, "s s 3"]:
    """Pads an image with black to a square, resizes and normalizes it.

    Pillow's bilinear filter, which widens its support where it reduces, stands for the
    Gaussian of the release. Black padding scores best on LVIS.

    Args:
        image: RGB.
        side: Side of the model's input in pixels.
    """
    height, width = image.shape[:2]
    square = np.zeros((max(height, width),) * 2 + (3,), np.uint8)
    square[:height, :width] = image
    resized = Image.fromarray(square).resize((side, side), Image.Resampling.BILINEAR)
    return ((np.asarray(resized) / 255 - PIXEL_MEAN) / PIXEL_STD).astype(np.float32)


def corners(boxes: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, "n 4"]:
    """Returns XYXY of boxes given by centre and size, in the same frame."""
    centre, half = np.float64(boxes[:, :2]), np.float64(boxes[:, 2:]) / 2
    return np.concatenate([centre - half, centre + half], axis=1)


@functools.partial(jax.jit, static_argnames="model")
def _detect(
    params: Mapping[str, Any],
    pixels: Float[Array, "b h w 3"],
    texts: Float[Array, "n e"],
    *,
    model: Owl,
) -> OwlDetections:
    found = model.apply({"params": params}, pixels, texts, method="detect")
    return cast(OwlDetections, jax.tree.map(jnp.float32, found))


@functools.partial(jax.jit, static_argnames="model")
def _embed_text(
    params: Mapping[str, Any], tokens: Int[Array, "n t"], *, model: Owl
) -> Float[Array, "n e"]:
    return cast(Array, model.apply({"params": params}, tokens, method="embed_text"))
