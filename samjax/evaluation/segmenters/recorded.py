"""Predictions of a segmenter, kept prompt by prompt, and read in place of the model.

A file of JSON Lines. The first line describes the model; each other one has an image (a
hash of its pixels), a prompt, and the masks that were predicted for it, as run lengths
with their predicted IoUs. Low-res logits are not kept but their hashes: a later prompt
with one of these as its mask is found by it. Clicks depend on the masks before, so that
a suite finds its predictions as long as its prompts are those that were recorded.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from samjax.evaluation.segmenter import (
    FixedMasks,
    MaskSet,
    Prediction,
    PromptKind,
    Segmenter,
    hash_of_pixels,
)
from samjax.files import KEY, json_text, mark_of, read_regular, sha256_of
from samjax.geometry.masks import decode_rle, encode_rle
from samjax.prompts import Prompt

FORMAT = "samjax predictions"
VERSION = 1

# Bytes of a hash of logits, which are the 4 x 4 numbers that stand for them.
_DIGEST = 16


class _Recorded(NamedTuple):
    """An embedded image with the hash of its pixels."""

    image: str
    embedding: Any


class Recorder:
    """A segmenter whose predictions are written as it goes.

    Args:
        segmenter: The segmenter.
        write: Takes the bytes of a line.
    """

    def __init__(self, segmenter: Segmenter, write: Callable[[bytes], object]):
        self._segmenter, self._write = segmenter, write
        self._line(
            {
                KEY: mark_of("evaluation"),
                "format": FORMAT,
                "version": VERSION,
                "model": dict(segmenter.describe()),
                "prompts": sorted(segmenter.prompt_kinds),
            }
        )

    @property
    def prompt_kinds(self) -> frozenset[PromptKind]:
        """Those of the segmenter."""
        return self._segmenter.prompt_kinds

    def describe(self) -> Mapping[str, Any]:
        """Returns the description of the segmenter."""
        return self._segmenter.describe()

    def embed(self, image: UInt8[np.ndarray, "h w 3"]) -> _Recorded:
        """Embeds an image."""
        return _Recorded(hash_of_pixels(image), self._segmenter.embed(image))

    def predict(
        self, embedding: _Recorded, prompts: Sequence[Prompt]
    ) -> list[Prediction]:
        """Predicts and records the masks of prompts."""
        predictions = self._segmenter.predict(embedding.embedding, prompts)
        for prompt, prediction in zip(prompts, predictions, strict=True):
            self._line(
                {
                    "image": embedding.image,
                    "prompt": _key_of(prompt),
                    "single": _kept(prediction.single),
                    "multimask": _kept(prediction.multimask),
                }
            )
        return predictions

    def _line(self, fields: dict[str, Any]) -> None:
        self._write(f"{json_text(fields)}\n".encode())


class RecordedPredictions:
    """Recorded predictions as a `Segmenter`.

    Args:
        path: The file.

    Raises:
        ValueError: It is no such file, or damaged.
        OSError: It is not there or cannot be read.
    """

    def __init__(self, path: Path):
        self._path = path
        self._found: dict[tuple[str, str], dict[str, Any]] = {}
        try:
            first, *lines = map(json.loads, read_regular(path).splitlines())
            if (first["format"], first["version"]) != (FORMAT, VERSION):
                raise ValueError(f"got {first['format']} {first['version']}")
            self._header = first
            for line in lines:
                self._found[line["image"], json_text(line["prompt"])] = line
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path}: expected predictions that `samjax evaluate --record` wrote, "
                f"of version {VERSION}: {error}"
            ) from error

    @property
    def prompt_kinds(self) -> frozenset[PromptKind]:
        """Those of the segmenter that was recorded."""
        return frozenset(self._header["prompts"])

    def describe(self) -> Mapping[str, Any]:
        """Returns the description of the segmenter, and the hash of the file."""
        return {
            **self._header["model"],
            "recorded": {"name": self._path.name, "sha256": sha256_of(self._path)},
        }

    def embed(self, image: UInt8[np.ndarray, "h w 3"]) -> str:
        """Returns the hash of an image."""
        return hash_of_pixels(image)

    def predict(self, embedding: str, prompts: Sequence[Prompt]) -> list[Prediction]:
        """Returns the recorded masks of prompts.

        Raises:
            ValueError: A prompt was not recorded on the image.
        """
        predictions = []
        for prompt in prompts:
            key = json_text(_key_of(prompt))
            line = self._found.get((embedding, key))
            if line is None:
                raise ValueError(
                    f"{self._path}: got the prompt {key[:200]} on the image "
                    f"{embedding[:12]}, expected one that was recorded: record with the "
                    "same suite, options and data"
                )
            predictions.append(
                Prediction(_restored(line["single"]), _restored(line["multimask"]))
            )
        return predictions


def read_predictions(path: str) -> RecordedPredictions:
    """Reads recorded predictions.

    Args:
        path: The file.
    """
    return RecordedPredictions(Path(path))


def _key_of(prompt: Prompt) -> dict[str, Any]:
    """Returns a prompt in JSON's types, its mask by the hash."""
    return {
        "points": prompt.points.tolist(),
        "labels": prompt.labels.tolist(),
        "box": None if prompt.box is None else prompt.box.tolist(),
        "mask": None if prompt.mask is None else _hash_of_logits(prompt.mask),
        "text": prompt.text,
    }


def _hash_of_logits(logits: np.ndarray) -> str:
    """Returns a hash of logits; of the numbers that stand for some, theirs."""
    if logits.shape == (4, 4) and logits.max() < 0 and (logits % 1 == 0).all():
        return bytes((-1 - logits).astype(np.uint8).ravel().tolist()).hex()
    # Prompts hold logits as float32, whatever the model gives.
    digest = hashlib.sha256(np.ascontiguousarray(logits, np.float32).tobytes())
    return digest.digest()[:_DIGEST].hex()


def _standing_for(digest: str) -> Float[np.ndarray, "4 4"]:
    """Returns negative whole numbers that stand for the logits of a hash."""
    return -1 - np.frombuffer(bytes.fromhex(digest), np.uint8).astype(
        np.float32
    ).reshape(4, 4)


def _kept(masks: MaskSet) -> dict[str, Any]:
    return {
        "masks": [dict(encode_rle(mask)) for mask in masks.masks],
        "scores": None if masks.scores is None else np.asarray(masks.scores).tolist(),
        "logits": None
        if masks.logits is None
        else [_hash_of_logits(logits) for logits in np.asarray(masks.logits)],
    }


def _restored(fields: Mapping[str, Any]) -> FixedMasks:
    scores, logits = fields["scores"], fields["logits"]
    return FixedMasks(
        np.stack([decode_rle(mask) for mask in fields["masks"]]),
        None if scores is None else np.array(scores, float),
        None if logits is None else np.stack([_standing_for(part) for part in logits]),
    )
