"""Counts what is damaged in a dataset, and ends a run for which that is too much."""

from collections.abc import Mapping

# Fractions of fewer examples say nothing.
AT_LEAST = 1000


class TooManyBadExamples(RuntimeError):
    """More of a dataset is damaged than the config allows."""


class BadData:
    """The damaged examples and masks of a run so far.

    Args:
        max_fraction: Largest fraction of all examples that may be damaged, counted over
            `AT_LEAST` examples while there were fewer.
    """

    def __init__(self, max_fraction: float):
        self._max_fraction = max_fraction
        self._examples = self._bad_examples = self._bad_masks = 0

    def add(self, step: int, examples: int, metrics: Mapping[str, float]) -> None:
        """Counts those of a step.

        Args:
            step: Its number.
            examples: Images of its batch.
            metrics: Of the step; those of a batch without a dataset count nothing.

        Raises:
            TooManyBadExamples: There are too many now.
        """
        if "bad_examples" not in metrics:
            return
        self._examples += examples
        self._bad_examples += round(metrics["bad_examples"])
        self._bad_masks += round(metrics["bad_masks"])
        if self._bad_examples > self._max_fraction * max(self._examples, AT_LEAST):
            raise TooManyBadExamples(
                f"{self.report()} until step {step}, and data.max_bad_fraction is"
                f" {self._max_fraction:g}: see what is wrong with `samjax data verify`,"
                " repair it or raise that fraction, and resume"
            )

    def report(self) -> str:
        """Says on one line what there was."""
        return (
            f"{self._bad_examples} of {self._examples} examples were damaged and"
            f" skipped, and {self._bad_masks} masks of others"
        )

    def to_json(self) -> dict[str, int]:
        """Returns the counts, to be saved with a checkpoint."""
        return {
            "examples": self._examples,
            "bad_examples": self._bad_examples,
            "bad_masks": self._bad_masks,
        }

    def restore(self, counts: Mapping[str, int]) -> None:
        """Goes on from counts that were saved."""
        self._examples = counts["examples"]
        self._bad_examples = counts["bad_examples"]
        self._bad_masks = counts["bad_masks"]

    def __bool__(self) -> bool:
        """Whether any example of a dataset was seen at all."""
        return self._examples > 0
