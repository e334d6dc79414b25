"""The masks of a model that a file has, in place of the model: they are scored again."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxtyping import UInt8
from numpy import ndarray

from samjax.evaluation.segmenter import Prediction, PromptKind
from samjax.files import sha256_of
from samjax.prompts import Prompt


@dataclasses.dataclass(frozen=True)
class SavedResults:
    """A `Segmenter` that takes no prompt; its masks come with the images of a suite.

    Attributes:
        files: Files of results in COCO's form (`datasets.detector_results`).
    """

    files: tuple[Path, ...]

    @property
    def prompt_kinds(self) -> frozenset[PromptKind]:
        """None."""
        return frozenset()

    def describe(self) -> Mapping[str, Any]:
        """Returns the names and the hashes of the files."""
        return {
            "name": "saved",
            "files": [
                {"name": path.name, "sha256": sha256_of(path)} for path in self.files
            ],
        }

    def embed(self, image: UInt8[ndarray, "h w 3"]) -> None:
        """Does nothing: no mask is predicted."""

    def predict(self, embedding: None, prompts: Sequence[Prompt]) -> list[Prediction]:
        """Refuses prompts.

        Raises:
            ValueError: Always.
        """
        raise ValueError(
            "got prompts for saved masks, expected a suite that scores them as they "
            "are: proposals or instances"
        )
