"""The models that can be evaluated: a protocol, and samjax's own model behind it.

A suite prompts a `Segmenter` and never sees parameters, so that a model of another
family is evaluated by one adapter: embed an image once, then predict masks for prompts.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, UInt8

from samjax.inference.batching import to_model
from samjax.inference.embedding import ImageEmbedding, weights_fingerprint
from samjax.inference.masks import Masks
from samjax.inference.predictor import Predictor
from samjax.inference.prompts import Prompt

PromptKind = Literal["points", "box", "mask"]


@dataclasses.dataclass(frozen=True)
class FixedMasks:
    """Masks of one prompt that are of the original image's size already.

    Attributes:
        masks: The masks.
        scores: Their predicted IoUs, or None where the model predicts none.
        logits: Their low-res logits, which can be the mask of a next prompt, or None
            where the model has none.
    """

    masks: Bool[np.ndarray, "m h w"]
    scores: Float[np.ndarray, " m"] | None = None
    logits: Float[np.ndarray, "m l l"] | None = None


MaskSet = Masks | FixedMasks
"""Masks of one prompt; samjax's own are resized when they are first asked for."""


class Prediction(NamedTuple):
    """The masks that a model predicts for one prompt.

    Attributes:
        single: The one mask of an unambiguous prompt.
        multimask: The masks of an ambiguous one; the same as `single` for models
            without multimask output.
    """

    single: MaskSet
    multimask: MaskSet


@runtime_checkable
class Segmenter(Protocol):
    """A promptable segmentation model."""

    @property
    def prompt_kinds(self) -> frozenset[PromptKind]:
        """The kinds of prompt that it takes."""
        ...

    def describe(self) -> Mapping[str, Any]:
        """Returns its name, and all that tells it from others, for a result file."""
        ...

    def embed(self, image: UInt8[np.ndarray, "h w 3"]) -> Any:
        """Computes all that is needed of an image; once per image."""
        ...

    def predict(self, embedding: Any, prompts: Sequence[Prompt]) -> list[Prediction]:
        """Predicts the masks of several prompts on one image."""
        ...


@dataclasses.dataclass(frozen=True)
class PredictorSegmenter:
    """A model of samjax as a `Segmenter`.

    Attributes:
        predictor: The model.
        name: The name or path that it was loaded by.
    """

    predictor: Predictor
    name: str = ""

    @property
    def prompt_kinds(self) -> frozenset[PromptKind]:
        """Points, boxes and masks."""
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
        }

    def embed(self, image: UInt8[np.ndarray, "h w 3"]) -> ImageEmbedding:
        """Embeds an image."""
        return self.predictor.embed(image)

    def predict(
        self, embedding: ImageEmbedding, prompts: Sequence[Prompt]
    ) -> list[Prediction]:
        """Decodes all prompts of an image together."""
        frame, size = embedding.frame, self.predictor.low_res_size
        in_model = [to_model(prompt, frame, size) for prompt in prompts]
        (decoded,) = self.predictor.decode_prompts([embedding], [in_model])
        return [
            Prediction(
                Masks(logits[:1], scores[:1], frame),
                Masks(logits[1:], scores[1:], frame),
            )
            for logits, scores in decoded
        ]
