"""Images with masks that the proposer learns from, and their embeddings, made once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, UInt8

from samjax.data.examples import ExampleSource
from samjax.evaluation.datasets.examples import read_example
from samjax.inference import ImageEmbedding, Predictor

_TRAINED, _CALIBRATED = 0.6, 0.2


class Parts(NamedTuple):
    """Images by purpose.

    Attributes:
        trained: Those that the head is trained on.
        calibrated: Those that the confidence is calibrated on.
        measured: Those that both are measured on.
    """

    trained: list[AnnotatedImage]
    calibrated: list[AnnotatedImage]
    measured: list[AnnotatedImage]


class Pair(NamedTuple):
    """An image and its masks.

    Attributes:
        pixels: RGB.
        masks: The masks.
    """

    pixels: UInt8[np.ndarray, "h w 3"]
    masks: Sequence[Bool[np.ndarray, "h w"]]


@dataclass(frozen=True, kw_only=True)
class AnnotatedImage:
    """An image with masks that is read when it is needed.

    Attributes:
        name: Its name, which decides the part that it is in.
        read: Returns its pixels and masks; None where it cannot be read.
    """

    name: str
    read: Callable[[], Pair | None]


def of_examples(source: ExampleSource) -> list[AnnotatedImage]:
    """Returns the images of a dataset.

    Args:
        source: The dataset, from `samjax.data.datasets.open_examples`.
    """

    def reader(index: int) -> Callable[[], Pair | None]:
        def read() -> Pair | None:
            try:
                pixels, masks = read_example(source[index])
            except (ValueError, KeyError, TypeError):
                # A damaged example; training counts and names them.
                return None
            return Pair(pixels, list(masks))

        return read

    return [
        AnnotatedImage(name=f"{index:06d}", read=reader(index))
        for index in range(len(source))
    ]


def split_in_parts(images: Sequence[AnnotatedImage]) -> Parts:
    """Splits images in three fifths, a fifth and a fifth, none of them empty.

    By the hash of their names, in whatever order they are given.

    Args:
        images: The images.

    Raises:
        ValueError: There are fewer than three.
    """
    if len(images) < 3:
        raise ValueError(
            f"got {len(images)} images, expected at least three, to train, calibrate and "
            "measure on, and some ten to learn from: annotate more"
        )
    ranked = sorted(images, key=lambda image: _fraction(image.name))
    calibrated = max(1, round(_CALIBRATED * len(ranked)))
    trained = min(max(1, round(_TRAINED * len(ranked))), len(ranked) - 2)
    calibrated = min(calibrated, len(ranked) - trained - 1)
    return Parts(
        ranked[:trained],
        ranked[trained : trained + calibrated],
        ranked[trained + calibrated :],
    )


class EmbeddingFolder:
    """Embeddings of images in files, so that a run that was stopped goes on.

    Args:
        folder: The folder; the embeddings of each image encoder have one of their own.
        predictor: The model.
    """

    def __init__(self, folder: Path, predictor: Predictor):
        self._folder = folder / predictor.fingerprint[:16]
        self._predictor = predictor

    def embed(self, pixels: UInt8[np.ndarray, "h w 3"]) -> ImageEmbedding:
        """Returns the embedding of an image, from its file if there is one.

        Files are named by the pixels: an image has other names from snapshot to snapshot.

        Args:
            pixels: RGB.
        """
        digest = hashlib.blake2b(pixels.tobytes(), digest_size=16)
        digest.update(str(pixels.shape).encode())
        path = self._folder / f"{digest.hexdigest()}.safetensors"
        if path.exists():
            return ImageEmbedding.load(path)
        embedding = self._predictor.embed(pixels)
        self._folder.mkdir(parents=True, exist_ok=True)
        embedding.save(path)
        return embedding


def read_pairs(images: Sequence[AnnotatedImage]) -> Iterator[Pair]:
    """Yields the images that can be read and have a mask."""
    for image in images:
        pair = image.read()
        if pair is not None and len(pair.masks):
            yield pair


def _fraction(name: str) -> float:
    digest = hashlib.blake2b(
        f"proposer\n{name}".encode("utf-8", "surrogatepass"), digest_size=7
    ).digest()
    return int.from_bytes(digest, "big") / 2**56
