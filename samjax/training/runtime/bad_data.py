"""Damaged examples of a run: counted, reported, and aborting it above a threshold."""

from collections.abc import Callable, Mapping

from samjax.data.problems import summary

# Least number of examples over which the fraction of a larger dataset is taken.
AT_LEAST = 1000

# For a dataset of unknown size the fraction is taken over as many examples as may
# include this many damaged ones.
_ALLOWED_AT_LEAST = 10


class TooManyBadExamples(RuntimeError):
    """More of a dataset is damaged than the config allows."""


class BadData:
    """Counts of the damaged examples and masks of a run so far.

    Args:
        max_fraction: Largest fraction of examples that may be damaged. For a dataset of
            up to `AT_LEAST` examples it is taken over whole epochs, so that the order of
            examples cannot end a run; for a larger one over at least `AT_LEAST`
            examples.

    Attributes:
        dataset_size: Examples of the dataset, or None where that is not known.
        describe: Returns one line for each of the first damaged examples.
    """

    dataset_size: int | None = None

    def __init__(self, max_fraction: float):
        self._max_fraction = max_fraction
        self._examples = self._bad_examples = self._bad_masks = 0
        self.describe: Callable[[], list[str]] = list

    def add(self, step: int, examples: int, metrics: Mapping[str, float]) -> None:
        """Adds the damaged examples of a step.

        Args:
            step: Steps done, this one included.
            examples: Images of its batch.
            metrics: Metrics of the step; without `bad_examples` nothing is counted.

        Raises:
            TooManyBadExamples: The fraction is above the threshold.
        """
        if "bad_examples" not in metrics:
            return
        self._examples += examples
        self._bad_examples += round(metrics["bad_examples"])
        self._bad_masks += round(metrics["bad_masks"])
        if self._bad_examples > self._max_fraction * self._counted():
            raise TooManyBadExamples(
                f"{self.report()} until step {step}, and data.max_bad_fraction is"
                f" {self._max_fraction:g}: see all of them with `samjax data verify`,"
                " repair them or raise that fraction, and resume"
            )

    def _counted(self) -> int:
        """Returns the number of examples that the fraction is taken over."""
        size = self.dataset_size
        if size is not None and 0 < size <= AT_LEAST:
            return -(-self._examples // size) * size
        least = AT_LEAST
        if size is None and self._max_fraction > 0:
            least = min(least, round(_ALLOWED_AT_LEAST / self._max_fraction))
        return max(self._examples, least)

    def report(self) -> str:
        """Returns one line: the counts, and the problems of the first damaged examples."""
        words = summary(self.describe()) if self._bad_examples + self._bad_masks else ""
        return (
            f"{self._bad_examples} of {self._examples} examples were damaged and"
            f" skipped, and {self._bad_masks} masks of others"
            f"{f' ({words})' if words else ''}"
        )

    def to_json(self) -> dict[str, int]:
        """Returns the counts, for a checkpoint."""
        return {
            "examples": self._examples,
            "bad_examples": self._bad_examples,
            "bad_masks": self._bad_masks,
        }

    def restore(self, counts: Mapping[str, int]) -> None:
        """Restores the counts of a checkpoint."""
        self._examples = counts["examples"]
        self._bad_examples = counts["bad_examples"]
        self._bad_masks = counts["bad_masks"]

    def __bool__(self) -> bool:
        """Returns whether any example of a dataset was read."""
        return self._examples > 0
