"""In place of a segmenter, for suites that look at annotations alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from jaxtyping import UInt8
from numpy import ndarray

from samjax.evaluation.segmenter import Prediction, PromptKind
from samjax.prompts import Prompt


class NoModel:
    """A `Segmenter` that takes no prompt."""

    prompt_kinds: frozenset[PromptKind] = frozenset()

    def describe(self) -> Mapping[str, Any]:
        """Returns nothing: there is no model."""
        return {}

    def embed(self, image: UInt8[ndarray, "h w 3"]) -> NoReturn:
        """Refuses.

        Raises:
            ValueError: Always.
        """
        raise ValueError("got an image to embed without a model")

    def predict(self, embedding: Any, prompts: Sequence[Prompt]) -> list[Prediction]:
        """Refuses.

        Raises:
            ValueError: Always.
        """
        raise ValueError("got prompts without a model")
