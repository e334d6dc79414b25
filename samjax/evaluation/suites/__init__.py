"""Evaluation suites, one a file, and the table of those of `samjax evaluate`.

To add a suite, write a file with a frozen dataclass of its options that derives from
`SuiteOptions` and makes a `Suite`, and add a row to `SUITES`. Every option becomes an
option of the command, with the docstring of the field as its help.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from samjax.evaluation.edge_detectors import EdgeDetector
    from samjax.evaluation.segmenter import Segmenter
    from samjax.evaluation.suite import Suite

DEFAULT_SUITE = "single-point"

# Import paths, not classes: suites import JAX, which takes seconds.
SUITES: dict[str, str] = {
    "single-point": "samjax.evaluation.suites.single_point.SinglePoint",
    "text": "samjax.evaluation.suites.text.Text",
    "edges": "samjax.evaluation.suites.edges.EdgeDetection",
    "fairness": "samjax.evaluation.suites.fairness.Fairness",
    "clothing": "samjax.evaluation.suites.fairness.Clothing",
    "geography": "samjax.evaluation.suites.geography.Geography",
    "statistics": "samjax.evaluation.suites.statistics.Statistics",
    "audit": "samjax.evaluation.suites.audit.Audit",
    "probe": "samjax.evaluation.suites.probe.Probe",
    "proposals": "samjax.evaluation.suites.proposals.ObjectProposals",
    "instances": "samjax.evaluation.suites.instances.Instances",
}
"""The class of options of every suite, by the name of the suite."""


class OptionError(ValueError):
    """Options that do not fit together, or the data."""


@dataclass(frozen=True, kw_only=True)
class SuiteOptions:
    """The options of a suite; subclasses are frozen dataclasses."""

    needs_model: ClassVar[bool] = True
    """Whether a segmenter is run; not in suites that look at annotations alone."""

    @property
    def needs_text(self) -> bool:
        """Whether the model has to take texts, so that the default one is with text."""
        return False

    @property
    def to_square(self) -> bool:
        """Whether models of samjax resize images to a square, without the aspect ratio."""
        return False

    @property
    def for_files(self) -> Sequence[str]:
        """The options that were given and write files, which have no place without --out."""
        return ()

    def check(self, data: Sequence[Path], segmenter: str) -> None:
        """Checks the options before anything is read.

        Args:
            data: The paths that are evaluated on.
            segmenter: Name of the segmenter.

        Raises:
            OptionError: They do not fit together.
        """

    def make(self, data: Sequence[Path], image_size: int | None) -> Suite:
        """Opens the data and returns the suite.

        Args:
            data: The paths to evaluate on.
            image_size: Input size of the model, for data that is drawn; None for
                segmenters without one.

        Raises:
            ValueError: It is no such data.
            OSError: It is not there or cannot be read.
        """
        raise NotImplementedError

    def saved(self) -> Segmenter | EdgeDetector:
        """Returns the predictions of `--segmenter saved`, which suites of them override.

        Raises:
            OptionError: The suite scores no saved predictions.
        """
        raise OptionError("--segmenter saved: the suite scores no saved predictions")


NO_CLICKS = ("grabcut", "canny", "sobel", "saved")
"""Segmenters that take no clicks."""


def check_clicks(suite: str, segmenter: str) -> None:
    """Checks that a segmenter takes clicks.

    Args:
        suite: Name of the suite, for the error.
        segmenter: Name of the segmenter.

    Raises:
        OptionError: It does not.
    """
    if segmenter in NO_CLICKS:
        raise OptionError(
            f"--segmenter {segmenter}: --suite {suite} expects a model that takes clicks"
        )


def suite_options(name: str) -> type[SuiteOptions]:
    """Returns the class of options of a suite.

    Raises:
        KeyError: There is no such suite.
    """
    module, _, options = SUITES[name].rpartition(".")
    return getattr(importlib.import_module(module), options)
