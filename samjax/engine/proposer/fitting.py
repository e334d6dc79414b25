"""Fitting of a proposer: embed, train the head, calibrate, measure beside the grid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from samjax.engine.proposer.annotated import (
    AnnotatedImage,
    EmbeddingFolder,
    read_pairs,
    split_in_parts,
)
from samjax.engine.proposer.confidence import Confidence, fit_confidence, threshold_for
from samjax.engine.proposer.fitted import Proposer
from samjax.engine.proposer.measuring import (
    ImageScore,
    ious_with,
    precision_above,
    ratio_of_recalls,
    score_image,
    summarize,
)
from samjax.engine.proposer.prompting import (
    GridPrompts,
    HeatPrompts,
    PromptSource,
    cells_of,
)
from samjax.engine.proposer.proposing import Candidates, candidates, choose
from samjax.engine.proposer.targets import heat_target
from samjax.engine.proposer.training import HeadConfig, click_qualities, train_head
from samjax.geometry.masks import mask_to_counts
from samjax.inference import ImageEmbedding, Predictor
from samjax.inference.embedding import weights_fingerprint

Show = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """Options of a fit.

    Attributes:
        points: Prompts of an image; a square number, for the grid beside them.
        precision: Fraction of the shown masks that should be right.
        iou: IoU from which a mask is right.
        least_masks: Fewest masks that the precision is measured on; with fewer nothing is
            shown.
        head: Options of the head.
    """

    points: int = 49
    precision: float = 0.9
    iou: float = 0.75
    least_masks: int = 20
    head: HeadConfig = field(default_factory=HeadConfig)

    def __post_init__(self):
        if self.points < 1:
            raise ValueError(f"got points={self.points}, expected at least 1")
        for name in ("precision", "iou"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(
                    f"got {name}={getattr(self, name)}, expected above 0, up to 1"
                )


@dataclass(frozen=True, eq=False)
class _Image:
    """An image in progress: its embedding, masks, and run lengths of the masks."""

    embedding: ImageEmbedding
    pixels: Any
    masks: Sequence[Bool[np.ndarray, "h w"]]

    @property
    def truth(self) -> list[Int[np.ndarray, " _"]]:
        return [mask_to_counts(mask) for mask in self.masks]


def fit_proposer(
    predictor: Predictor,
    images: Sequence[AnnotatedImage],
    embeddings: EmbeddingFolder,
    config: FitConfig,
    show: Show = lambda text: None,
    detector: PromptSource | None = None,
) -> Proposer:
    """Fits a proposer on images with masks.

    The head is trained on three fifths of the images, the score is calibrated on a fifth,
    and both are measured on the last fifth; an image's part is a hash of its name.

    Args:
        predictor: The model.
        images: Images with masks.
        embeddings: Where embeddings are kept.
        config: Options.
        show: Called with a line for every step.
        detector: Source of prompts in place of the head, which is not trained then.

    Returns:
        The proposer; `measured` has `proposer` and `grid` with recall and precision at an
        IoU of 0.5, `recall_ratio`, and `at_threshold`.

    Raises:
        ValueError: A part has no image with masks.
        ImportError: The extra `train` is missing.
    """

    def load(chosen: Sequence[AnnotatedImage], purpose: str) -> list[_Image]:
        loaded = []
        for pair in read_pairs(chosen):
            embedding = embeddings.embed(pair.pixels)
            loaded.append(_Image(embedding, pair.pixels, pair.masks))
            show(f"embeddings to {purpose}: {len(loaded)} of {len(chosen)}")
        if not loaded:
            raise ValueError(
                f"got {len(chosen)} images to {purpose}, none with masks that could be "
                "read, expected some: annotate more"
            )
        return loaded

    parts = split_in_parts(images)
    source, head, params = detector, None, {}
    if source is None:
        import optax  # noqa: F401 (if missing, an error before images are embedded)

        trained = load(parts.trained, "train on")
        head, params = _train(predictor, trained, config, show)
        source = HeatPrompts(head, params)
        del trained
    calibrated = load(parts.calibrated, "calibrate on")
    measured = load(parts.measured, "measure on")
    sources = {"proposer": source, "grid": GridPrompts()}
    fitted, scored = {}, {}
    for name, of in sources.items():
        show(f"calibration of the {name}")
        found = [_candidates(predictor, image, of, config) for image in calibrated]
        confidence = _confidence(calibrated, found, config)
        threshold = _threshold(calibrated, found, confidence, config)
        fitted[name] = confidence, threshold
        show(f"measurement of the {name}")
        found = [_candidates(predictor, image, of, config) for image in measured]
        scored[name] = _scores(measured, found, confidence, threshold, config)
    confidence, threshold = fitted["proposer"]
    return Proposer(
        model=weights_fingerprint(predictor.model.config, predictor.params),
        confidence=confidence,
        threshold=threshold,
        precision=config.precision,
        iou=config.iou,
        points=config.points,
        head=head,
        params=params,
        measured={
            "images": len(measured),
            **{name: summary for name, (_, summary) in scored.items()},
            "recall_ratio": ratio_of_recalls(scored["proposer"][0], scored["grid"][0]),
        },
    )


def _train(
    predictor: Predictor, images: Sequence[_Image], config: FitConfig, show: Show
) -> tuple[Any, Any]:
    targets = []
    for image in images:
        embedding = image.embedding
        targets.append(
            heat_target(
                image.masks,
                embedding.frame,
                cells_of(embedding),
                qualities=click_qualities(predictor, embedding, image.masks),
                background=config.head.background,
            )
        )
        show(f"targets: {len(targets)} of {len(images)}")
    features = [np.asarray(image.embedding.features, np.float16) for image in images]
    return train_head(features, targets, config.head, show)


def _candidates(
    predictor: Predictor, image: _Image, source: PromptSource, config: FitConfig
) -> Candidates:
    return candidates(
        predictor, image.embedding, source, count=config.points, image=image.pixels
    )


def _confidence(
    images: Sequence[_Image], found: Sequence[Candidates], config: FitConfig
) -> Confidence:
    features, right = [], []
    for image, of_image in zip(images, found, strict=True):
        size = image.embedding.frame.original_size
        ious = ious_with(of_image.masks, image.truth, size)
        features.append(of_image.features)
        right.append(ious.max(axis=1, initial=0.0) >= config.iou)
    return fit_confidence(np.concatenate(features), np.concatenate(right))


def _threshold(
    images: Sequence[_Image],
    found: Sequence[Candidates],
    confidence: Confidence,
    config: FitConfig,
) -> float | None:
    values, right = _shown(images, found, confidence, config.iou)
    return threshold_for(
        np.concatenate(values),
        np.concatenate(right),
        config.precision,
        least=config.least_masks,
    )


def _scores(
    images: Sequence[_Image],
    found: Sequence[Candidates],
    confidence: Confidence,
    threshold: float | None,
    config: FitConfig,
) -> tuple[list[ImageScore], dict[str, Any]]:
    scores = []
    for image, of_image in zip(images, found, strict=True):
        size = image.embedding.frame.original_size
        shown = choose(of_image, confidence, size)
        own = [mask.mask for mask in shown]
        scores.append(score_image(ious_with(own, image.truth, size)))
    values, right = _shown(images, found, confidence, config.iou)
    summary = summarize(scores) | {
        "threshold": threshold,
        "at_threshold": precision_above(values, right, threshold),
    }
    return scores, summary


def _shown(
    images: Sequence[_Image],
    found: Sequence[Candidates],
    confidence: Confidence,
    iou: float,
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Returns the confidence of each image's masks without duplicates, and which are
    right."""
    values, right = [], []
    for image, of_image in zip(images, found, strict=True):
        size = image.embedding.frame.original_size
        shown = choose(of_image, confidence, size)
        own = [mask.mask for mask in shown]
        values.append(np.array([mask.confidence for mask in shown]))
        right.append(score_image(ious_with(own, image.truth, size), iou).right)
    return values, right
