"""Texts to boxes to masks: every instance of what texts describe.

A detector's boxes prompt the model, as in SAM, section 7.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

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
    size = (pixels.shape[0], pixels.shape[1])
    found = check_detections(detector.detect(pixels, list(texts)), size, len(texts))
    kept = []
    for index in range(len(texts)):
        own = np.flatnonzero((found.texts == index) & (found.scores >= threshold))
        if len(own):
            kept += own[box_nms(found.boxes[own], found.scores[own], nms)].tolist()
    kept.sort(key=lambda box: -found.scores[box])
    if not kept:
        return []
    if embedding is None:
        embedding = predictor.embed(pixels)
    prompts = [Prompt(box=found.boxes[box]) for box in kept]
    (masks,) = predictor.predict_batch([embedding], [prompts], multimask=False)
    return [
        TextInstance(
            text=texts[int(found.texts[box])],
            score=float(found.scores[box]),
            box=found.boxes[box],
            mask=of_box.masks[0],
            predicted_iou=float(of_box.scores[0]),
        )
        for box, of_box in zip(kept, masks, strict=True)
    ]
