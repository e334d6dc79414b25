"""The protocol of promptable models that are evaluated, and its adapter for samjax.

A suite prompts a `Segmenter` and has no access to parameters, so that a model of another
family needs one adapter: embed an image once, then predict masks for prompts.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, UInt8

from samjax.geometry.frame import Frame
from samjax.inference.automatic.config import AutomaticConfig
from samjax.inference.automatic.generate import propose_in_crop
from samjax.inference.automatic.records import Proposal
from samjax.inference.embedding import ImageEmbedding, weights_fingerprint
from samjax.inference.many_prompts import predict_many
from samjax.inference.masks import Masks
from samjax.inference.predictor import Predictor
from samjax.prompts import Prompt

PromptKind = Literal["points", "box", "mask", "text"]


@dataclasses.dataclass(frozen=True)
class FixedMasks:
    """Masks of one prompt, at the size of the original image.

    Attributes:
        masks: The masks.
        scores: Their predicted IoUs, or None if the model predicts none.
        logits: Their low-res logits, which can be the mask of the next prompt, or None
            if the model has none.
    """

    masks: Bool[np.ndarray, "m h w"]
    scores: Float[np.ndarray, " m"] | None = None
    logits: Float[np.ndarray, "m l l"] | None = None


MaskSet = Masks | FixedMasks
"""Masks of one prompt; those of `Masks` are resized on first access."""


class Prediction(NamedTuple):
    """The masks that a model predicts for one prompt.

    Attributes:
        single: The single mask.
        multimask: The multimask output; the same as `single` for models without it.
    """

    single: MaskSet
    multimask: MaskSet


@runtime_checkable
class Segmenter(Protocol):
    """A promptable segmentation model."""

    @property
    def prompt_kinds(self) -> frozenset[PromptKind]:
        """Kinds of prompts that it takes."""
        ...

    def describe(self) -> Mapping[str, Any]:
        """Returns its name and the fields that identify it in a result file."""
        ...

    def embed(self, image: UInt8[np.ndarray, "h w 3"]) -> Any:
        """Computes everything that depends on the image alone, once per image."""
        ...

    def predict(self, embedding: Any, prompts: Sequence[Prompt]) -> list[Prediction]:
        """Predicts the masks of several prompts on one image."""
        ...


@runtime_checkable
class Proposer(Protocol):
    """A segmenter with a faster way to the masks of a grid of points than `predict`."""

    def propose(
        self,
        embedding: Any,
        grid: Float[np.ndarray, "n 2"],
        *,
        pred_iou: float,
        stability: float,
        offset: float,
    ) -> Iterator[Proposal]:
        """Yields the masks of the multimask output of every point, without suppression.

        Args:
            embedding: What `embed` returned.
            grid: The points, (x, y) in the unit square of the image.
            pred_iou: Lower bound of the predicted IoU, exclusive; 0 for none.
            stability: Lower bound of the stability score, inclusive; 0 for none.
            offset: Shift of the mask threshold for the stability score.
        """
        ...


@dataclasses.dataclass(frozen=True)
class PredictorSegmenter:
    """A model of samjax as a `Segmenter`.

    Attributes:
        predictor: The model.
        name: Name or path that it was loaded from.
        to_square: Whether images are resized to the square of the model's input, in
            place of keeping their aspect ratio.
    """

    predictor: Predictor
    name: str = ""
    to_square: bool = False

    @property
    def prompt_kinds(self) -> frozenset[PromptKind]:
        """Points, boxes and masks; texts too, if the model takes them."""
        if self.predictor.model.has_text:
            return frozenset(("points", "box", "mask", "text"))
        return frozenset(("points", "box", "mask"))

    def describe(self) -> Mapping[str, Any]:
        """Returns the name, the fingerprint of the weights, sizes and precision."""
        model = self.predictor.model
        params = self.predictor.params
        return {
            "name": self.name,
            "weights": weights_fingerprint(model.config, params),
            "image_encoder": self.predictor.fingerprint,
            "image_size": model.config.image_size,
            "dtype": np.dtype(model.dtype).name,
            **({"resize": "square"} if self.to_square else {}),
        }

    def embed(self, image: UInt8[np.ndarray, "h w 3"]) -> ImageEmbedding:
        """Embeds an image."""
        if not self.to_square:
            return self.predictor.embed(image)
        side = self.predictor.model.config.image_size
        frame = Frame((image.shape[0], image.shape[1]), (side, side), side)
        resized = frame.resize_image(image)
        return self.predictor.embed_resized([(resized, frame)])[0]

    def predict(
        self, embedding: ImageEmbedding, prompts: Sequence[Prompt]
    ) -> list[Prediction]:
        """Decodes all prompts of an image in batches, over one prepared image side."""
        return [
            Prediction(_part(masks, slice(0, 1)), _part(masks, slice(1, None)))
            for masks in predict_many(self.predictor, embedding, prompts)
        ]

    def propose(
        self,
        embedding: ImageEmbedding,
        grid: Float[np.ndarray, "n 2"],
        *,
        pred_iou: float,
        stability: float,
        offset: float,
    ) -> Iterator[Proposal]:
        """Yields the masks of a grid by the compiled loop of everything mode.

        Args:
            embedding: The embedding of the image.
            grid: The points, (x, y) in the unit square of the image.
            pred_iou: Lower bound of the predicted IoU, exclusive; 0 for none.
            stability: Lower bound of the stability score, inclusive; 0 for none.
            offset: Shift of the mask threshold for the stability score.
        """
        config = AutomaticConfig(
            points_per_side=None,
            point_grids=(grid,),
            pred_iou_thresh=pred_iou,
            stability_score_thresh=stability,
            stability_score_offset=offset,
        )
        for chunk in propose_in_crop(self.predictor, embedding, grid, config):
            yield from chunk


def hash_of_pixels(image: UInt8[np.ndarray, "h w 3"]) -> str:
    """Returns the SHA-256 of an image, by which its predictions and embeddings are kept.

    Args:
        image: RGB.
    """
    digest = hashlib.sha256(str(image.shape).encode())
    digest.update(np.ascontiguousarray(image).tobytes())
    return digest.hexdigest()


def _part(masks: Masks, part: slice) -> Masks:
    """Returns a slice of masks, which is resized to the original size on first access."""
    return Masks(masks.logits[part], masks.scores[part], masks.frame)
