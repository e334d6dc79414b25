"""No prompts: for suites that look at annotations alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from samjax.evaluation.policies.policy import Round, Session
from samjax.evaluation.segmenter import PromptKind


@dataclass(frozen=True)
class NoPrompts:
    """One round without responses, in which metrics see the sample."""

    @property
    def kinds(self) -> frozenset[PromptKind]:
        """None: it goes without a model."""
        return frozenset()

    def rounds(self, session: Session) -> Iterator[Round]:
        """Yields the round."""
        yield Round("annotations", (), is_scored=False, has_oracle=False)
