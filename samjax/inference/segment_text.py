"""Texts to boxes to masks: every instance of what texts describe.

A detector's boxes prompt the model, as in SAM, section 7.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8

from samjax.inference.automatic.suppression import box_nms
from samjax.inference.checks import shown
from samjax.inference.detectors.detector import BoxDetector, check_detections
from samjax.inference.embedding import ImageEmbedding
from samjax.inference.images import ImageSource, read_image
from samjax.inference.predictor import Predictor
from samjax.prompts import Prompt


class TextInstance(NamedTuple):
    """An instance of what a text describes.

    Attributes:
        text: The text.
        score: The detector's confidence in the box, 0 to 1.
        box: XYXY in pixels of the original image, the detector's.
        mask: Of the original image's size.
        predicted_iou: SAM's estimate of the mask's IoU.
    """

    text: str
    score: float
    box: Float[np.ndarray, " 4"]
    mask: Bool[np.ndarray, "h w"]
    predicted_iou: float


class Boxes(NamedTuple):
    """Boxes of one text, those of the highest score first.

    Attributes:
        boxes: XYXY in pixels of the original image.
        scores: Confidence of each, 0 to 1.
    """

    boxes: Float[np.ndarray, "n 4"]
    scores: Float[np.ndarray, " n"]


def segment_text(
    predictor: Predictor,
    detector: BoxDetector,
    image: ImageSource,
    texts: Sequence[str],
    *,
    threshold: float = 0.2,
    nms: float = 0.7,
    embedding: ImageEmbedding | None = None,
) -> list[TextInstance]:
    """Finds all instances of texts: boxes of a detector, each made a mask by SAM.

        instances = segment_text(predictor, detector, image, ["a mug", "a plate"])

    Args:
        predictor: SAM.
        detector: Finds boxes; see `samjax.inference.detectors`.
        image: As for `Predictor.embed`.
        texts: A phrase for each kind of thing; never several in one.
        threshold: Boxes of a lower score are dropped.
        nms: Of two boxes of one text with a higher IoU than this, the one of the lower
            score is dropped.
        embedding: The image's, if it is there already.

    Returns:
        The instances of all texts, those of the highest score first; none is an answer.

    Raises:
        ValueError: There is no text, or the detector returned what is none.
    """
    if isinstance(texts, str) or not texts:
        raise ValueError(
            f"got {shown(texts)} for texts, expected a list of phrases such as "
            '["a mug", "a plate"]'
        )
    pixels = read_image(image)
    found = [
        (text, float(score), box)
        for text, of in zip(
            texts, find_boxes(detector, pixels, texts, threshold, nms), strict=True
        )
        for score, box in zip(of.scores, of.boxes, strict=True)
    ]
    found.sort(key=lambda entry: -entry[1])
    if not found:
        return []
    if embedding is None:
        embedding = predictor.embed(pixels)
    prompts = [Prompt(box=box) for _, _, box in found]
    (masks,) = predictor.predict_batch([embedding], [prompts], multimask=False)
    return [
        TextInstance(
            text=text,
            score=score,
            box=box,
            mask=of_box.masks[0],
            predicted_iou=float(of_box.scores[0]),
        )
        for (text, score, box), of_box in zip(found, masks, strict=True)
    ]


def find_boxes(
    detector: BoxDetector,
    image: UInt8[np.ndarray, "h w 3"],
    texts: Sequence[str],
    threshold: float,
    nms: float,
) -> list[Boxes]:
    """Finds the boxes of each text, without those of low scores and duplicates.

    Args:
        detector: Finds boxes.
        image: RGB.
        texts: A phrase for each kind of thing.
        threshold: Boxes of a lower score are dropped.
        nms: As for `segment_text`.

    Returns:
        For each text its boxes, those of the highest score first.

    Raises:
        ValueError: The detector returned what is none.
    """
    size = (image.shape[0], image.shape[1])
    found = check_detections(detector.detect(image, list(texts)), size, len(texts))
    boxes = []
    for index in range(len(texts)):
        own = np.flatnonzero((found.texts == index) & (found.scores >= threshold))
        if len(own):
            own = own[box_nms(found.boxes[own], found.scores[own], nms)]
        own = own[np.argsort(-found.scores[own], kind="stable")]
        boxes.append(Boxes(found.boxes[own], found.scores[own]))
    return boxes
