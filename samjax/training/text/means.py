"""The means of both modalities of CLIP, against the gap between them.

Vectors of images and of texts lie around means of their own (Liang et al., arXiv
2203.02053). In training a vector of an image stands for that of a text, which takes its
place at inference. Subtracting the mean of each leaves both around zero; adding that of
texts to both leaves the vectors of texts as they are, so that inference needs nothing: in
training the mean of images is subtracted and that of texts added.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from samjax.models.clip import Clip
from samjax.models.clip.crops import embed_phrases
from samjax.models.params import Params
from samjax.models.siglip import Siglip
from samjax.text import make_tokenizer
from samjax.training.text.source import TextSource

MOST_STEPS = 10_000
"""Batches that are read for the mean at most, where most of them have no mask."""


def mean_shift(
    source: TextSource,
    clip: Clip | Siglip,
    params: Params,
    masks: int,
    vocabulary: str = "",
) -> Float[np.ndarray, " e"]:
    """Returns the mean of phrases less that of crops, for `TextSource`.

    Args:
        source: Masks with vectors, without a shift; it is closed.
        clip: CLIP or SigLIP.
        params: Its parameters.
        masks: Masks over which the mean of images is taken.
        vocabulary: That of SigLIP, packed as in `TextSamConfig.text_vocabulary`.

    Raises:
        ImportError: The package that reads the vocabulary is not installed.
        ValueError: The source has no mask.
    """
    try:
        return text_mean(clip, params, vocabulary=vocabulary) - image_mean(
            source, masks
        )
    finally:
        source.close()


def image_mean(source: TextSource, masks: int) -> Float[np.ndarray, " e"]:
    """Returns the mean vector of the crops of the first masks of a source.

    Args:
        source: Masks with vectors.
        masks: Number of masks; fewer where the source has fewer.

    Raises:
        ValueError: The source has no mask.
    """
    found: list[np.ndarray] = []
    for step in range(MOST_STEPS):
        batch = source.batch(step)
        assert batch.text is not None
        found += list(np.asarray(batch.text)[np.asarray(batch.valid)])
        if len(found) >= masks:
            break
    if not found:
        raise ValueError(
            f"got no mask in {MOST_STEPS} batches, expected some for the mean of images: "
            "lower text.smallest_area, or set text.mean_masks to 0"
        )
    return _mean(np.array(found[:masks]))


def text_mean(
    clip: Clip | Siglip,
    params: Params,
    phrases: Sequence[str] = (),
    *,
    vocabulary: str = "",
) -> Float[np.ndarray, " e"]:
    """Returns the mean vector of phrases.

    Args:
        clip: CLIP or SigLIP.
        params: Its parameters.
        phrases: The phrases; none stands for those of `NOUNS` with an article.
        vocabulary: As for `mean_shift`.

    Raises:
        ImportError: The package that reads the vocabulary is not installed.
    """
    phrases = phrases or [f"a {noun}" for noun in NOUNS]
    tokenize = make_tokenizer(
        vocabulary=vocabulary, context_length=clip.config.context_length
    )
    # One at a time: short phrases take a fraction of the time.
    vectors = [embed_phrases(params, tokenize(text), model=clip) for text in phrases]
    return _mean(np.concatenate(vectors))


def _mean(vectors: Float[np.ndarray, "n e"]) -> Float[np.ndarray, " e"]:
    return np.asarray(np.mean(vectors, axis=0, dtype=np.float64), np.float32)


_WORDS = """
person child face hand shirt jacket hat shoe bag umbrella dog cat horse cow bird fish
flower tree leaf bush rock mountain river cloud road bridge building house roof door window
wall fence stairs lamp chair table bed sofa shelf carpet curtain mirror picture clock book
paper bottle cup plate bowl spoon knife fork pot basket box phone computer keyboard screen
camera car wheel bicycle bus train boat plane sign flag ball toy guitar apple banana orange
carrot bread cake pizza
"""
NOUNS = tuple(_WORDS.split())
"""Common things of photos."""
