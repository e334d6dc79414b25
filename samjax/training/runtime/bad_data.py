"""Counts what is damaged in a dataset, and ends a run for which that is too much."""

from collections.abc import Callable, Mapping

from samjax.data.problems import summary

# Of a larger dataset a fraction is taken over this many examples at least.
AT_LEAST = 1000

# Where nobody says how large the dataset is, over as many as have this many that may be
# damaged.
_ALLOWED_AT_LEAST = 10


class TooManyBadExamples(RuntimeError):
    """More of a dataset is damaged than the config allows."""


class BadData:
    """The damaged examples and masks of a run so far.

    Args:
        max_fraction: Largest fraction of all examples that may be damaged. It is that of
            whole epochs of a dataset of up to `AT_LEAST` examples, so that chance ends
            no run; of more it is counted over `AT_LEAST` examples while there were
            fewer.

    Attributes:
        dataset_size: Examples of the dataset, or None where that is not known.
        describe: Says what is wrong with the first of them, a line each.
    """

    dataset_size: int | None = None

    def __init__(self, max_fraction: float):
        self._max_fraction = max_fraction
        self._examples = self._bad_examples = self._bad_masks = 0
        self.describe: Callable[[], list[str]] = list

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
        if self._bad_examples > self._max_fraction * self._counted():
            raise TooManyBadExamples(
                f"{self.report()} until step {step}, and data.max_bad_fraction is"
                f" {self._max_fraction:g}: see all of them with `samjax data verify`,"
                " repair them or raise that fraction, and resume"
            )

    def _counted(self) -> int:
        """The examples of which the fraction is taken."""
        size = self.dataset_size
        if size is not None and 0 < size <= AT_LEAST:
            return -(-self._examples // size) * size
        least = AT_LEAST
        if size is None and self._max_fraction > 0:
            least = min(least, round(_ALLOWED_AT_LEAST / self._max_fraction))
        return max(self._examples, least)

    def report(self) -> str:
        """Says on one line what there was, and what is wrong with the first of it."""
        words = summary(self.describe()) if self._bad_examples + self._bad_masks else ""
        return (
            f"{self._bad_examples} of {self._examples} examples were damaged and"
            f" skipped, and {self._bad_masks} masks of others"
            f"{f' ({words})' if words else ''}"
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
