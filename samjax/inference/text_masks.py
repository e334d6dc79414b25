"""Everything mode for texts: the masks of an image that show what texts name.

Two ways: a model that compares image embeddings with texts (`samjax.models.text_similarity`,
the bundled `small_text`) labels the masks of everything mode; or a detector finds boxes of
the texts, and each becomes a mask.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, cast

import jax
import numpy as np
from jaxtyping import Array, Bool, Float
from PIL import Image

from samjax.data.formats.annotations import make_annotation
from samjax.data.schema import Annotation
from samjax.geometry.masks import counts_to_mask, mask_to_counts, run_lengths
from samjax.inference.automatic.config import AutomaticConfig
from samjax.inference.automatic.generate import generate_masks
from samjax.inference.checks import shown
from samjax.inference.detectors.detector import BoxDetector
from samjax.inference.embedding import ImageEmbedding
from samjax.inference.images import ImageSource, read_image
from samjax.inference.predictor import Predictor
from samjax.inference.segment_text import segment_text
from samjax.models.text_sam import TextSam

THRESHOLD = 0.5
"""Least score of a mask, by default."""


def check_texts(predictor: Predictor, texts: Sequence[str]) -> None:
    """Refuses texts that a model cannot compare with masks.

    Args:
        predictor: The model.
        texts: The texts.

    Raises:
        ValueError: There is none, the model compares no texts, or knows no word of one.
    """
    if isinstance(texts, str) or not texts:
        raise ValueError(
            f"got {shown(texts)} for texts, expected a list of phrases such as "
            '["a mug", "a plate"]'
        )
    if not predictor.model.config.similarity_width:
        raise ValueError(
            "got texts for the masks of everything mode, and a model that does not "
            "compare images with texts: use small_text, or a detector of boxes"
        )
    for text in texts:
        predictor.embed_text(text)


def compare_masks(
    predictor: Predictor,
    embedding: ImageEmbedding,
    masks: Bool[np.ndarray, "k h w"],
    texts: Sequence[str],
) -> Float[np.ndarray, "k n"]:
    """Compares masks with texts.

    Args:
        predictor: A model that compares image embeddings with texts.
        embedding: The image's.
        masks: Masks of the image's size.
        texts: Phrases.

    Returns:
        For every mask and text the mean probability that the text is true of a cell
        of the embedding, over the cells that the mask covers.

    Raises:
        ValueError: As for `check_texts`, or the embedding is of other weights.
    """
    check_texts(predictor, texts)
    predictor.check_embedding(embedding)
    vectors = np.stack([predictor.embed_text(text) for text in texts])
    model = cast(TextSam, predictor.model)
    maps = np.stack(
        [
            # One at a time: one program serves any number of texts.
            np.asarray(
                _compare(predictor.params, embedding.features, vector, model=model)
            )
            for vector in vectors
        ]
    )
    covered = np.stack([_cells(mask, embedding) for mask in masks])
    total = np.einsum("khw,nhw->kn", covered, maps)
    return total / np.maximum(covered.sum((1, 2)), 1e-6)[:, None]


def generate_text_masks(
    predictor: Predictor,
    image: ImageSource,
    texts: Sequence[str],
    config: AutomaticConfig | None = None,
    *,
    threshold: float = THRESHOLD,
    detector: BoxDetector | None = None,
) -> list[Annotation]:
    """Returns the masks of an image that show what texts name.

    Args:
        predictor: The model; without a detector, one that compares images with texts.
        image: As for `Predictor.embed`.
        texts: A phrase for each kind of thing.
        config: Options of everything mode, without layers of crops. A detector uses
            none but the form of masks.
        threshold: Least score of a mask.
        detector: Finds boxes; None labels the masks of everything mode.

    Returns:
        A record for every mask, as from `generate_masks`, with its `text` and
        `text_score`, the highest score first.

    Raises:
        ValueError: As for `check_texts` and `generate_masks`.
    """
    pixels = read_image(image)
    if detector is not None:
        return _from_boxes(predictor, pixels, texts, detector, threshold)
    check_texts(predictor, texts)
    embedding = predictor.embed(pixels)
    found = generate_masks(predictor, embedding, config)
    if not found:
        return []
    size = embedding.frame.original_size
    masks = np.stack([_mask_of(annotation, size) for annotation in found])
    scores = compare_masks(predictor, embedding, masks, texts)
    best = scores.argmax(1)
    labelled = [
        Annotation(
            **{**annotation, "text": texts[index], "text_score": float(row[index])}  # pyright: ignore
        )
        for annotation, row, index in zip(found, scores, best, strict=True)
        if row[index] >= threshold
    ]
    return sorted(labelled, key=lambda entry: -entry.get("text_score", 0.0))


def _from_boxes(
    predictor: Predictor,
    pixels: np.ndarray,
    texts: Sequence[str],
    detector: BoxDetector,
    threshold: float,
) -> list[Annotation]:
    instances = segment_text(predictor, detector, pixels, texts, threshold=threshold)
    size = (pixels.shape[0], pixels.shape[1])
    records = []
    for number, instance in enumerate(instances):
        record = make_annotation(
            mask_to_counts(instance.mask),
            size,
            number,
            predicted_iou=instance.predicted_iou,
        )
        record["text"], record["text_score"] = instance.text, instance.score
        records.append(record)
    return records


def _mask_of(annotation: Annotation, size: tuple[int, int]) -> np.ndarray:
    segmentation: Any = annotation["segmentation"]
    if isinstance(segmentation, np.ndarray):
        return segmentation
    return counts_to_mask(run_lengths(segmentation), size)


def _cells(mask: np.ndarray, embedding: ImageEmbedding) -> np.ndarray:
    """Returns the share of each cell of an embedding that a mask covers."""
    height, width = embedding.features.shape[:2]
    frame = embedding.frame
    cell = frame.model_size / max(height, width)
    covered = np.zeros((height, width), np.float32)
    # Of the resized image the cells that it reaches, each as a mean over its pixels.
    rows, columns = (max(1, round(side / cell)) for side in frame.resized_size)
    image = Image.fromarray(mask.astype(np.float32))
    covered[:rows, :columns] = np.asarray(
        image.resize((columns, rows), Image.Resampling.BOX)
    )
    return covered


@functools.partial(jax.jit, static_argnames="model")
def _compare(
    params: Mapping[str, Any],
    features: Float[Array, "gh gw c"],
    vector: Float[Array, " e"],
    *,
    model: TextSam,
) -> Float[Array, "gh gw"]:
    return cast(
        Array,
        model.apply({"params": params}, features, vector[None], method="locate_texts"),
    )[0]
