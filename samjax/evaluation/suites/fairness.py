"""Fairness of masks of people (SAM, section 6 and appendix C): mean IoU by group.

Interactive segmentation from a random first click, at 1 and 3 clicks, and the mean IoU of
every group with its interval, with the differences of all pairs of groups of an
attribute. Groups are those that annotators perceived. The suite `clothing` does the same
with the masks of clothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from samjax.evaluation.datasets import open_dataset
from samjax.evaluation.datasets.entries import open_entries
from samjax.evaluation.datasets.people.facet import facet_entries, is_facet
from samjax.evaluation.datasets.people.grouping import (
    GROUPS,
    GroupedSamples,
    read_groups,
)
from samjax.evaluation.datasets.people.miap import Parts, is_miap, miap_entries
from samjax.evaluation.datasets.selection import Selection
from samjax.evaluation.metrics.group_means import GroupMeans
from samjax.evaluation.metrics.mask_iou import MaskIou, short_name
from samjax.evaluation.policies.interactive_clicks import (
    FirstClick,
    InteractiveClicks,
)
from samjax.evaluation.suite import Suite
from samjax.evaluation.suites import OptionError, SuiteOptions, check_clicks

_PAPER: Mapping[Parts, Mapping[str, Mapping[str, Mapping[str, float]]]] = {
    "people": {
        "gender": {
            "1": {"feminine": 0.544, "masculine": 0.557},
            "3": {"feminine": 0.904, "masculine": 0.901},
        },
        "age": {
            "1": {"older": 0.629, "middle": 0.545, "young": 0.542},
            "3": {"older": 0.926, "middle": 0.902, "young": 0.912},
        },
    },
    "clothing": {
        "gender": {
            "1": {"feminine": 0.763, "masculine": 0.810},
            "3": {"feminine": 0.907, "masculine": 0.923},
        },
        "age": {
            "1": {"older": 0.819, "middle": 0.782, "young": 0.773},
            "3": {"older": 0.928, "middle": 0.913, "young": 0.915},
        },
    },
}
"""Tables 2 and 6 of the paper, on MIAP's test split. Its skin types are those of a set that
is not public."""


@dataclass(frozen=True, kw_only=True)
class Fairness(SuiteOptions):
    """Options of the suite."""

    groups: Path | None = None
    """A CSV or JSON table of groups for sets other than MIAP and FACET: columns image or
    annotation, and one per attribute."""

    split: Literal["test", "val", "train"] = "test"
    """The split of MIAP."""

    clicks: tuple[int, ...] = (1, 3)
    """Numbers of clicks to score at."""

    first_click: FirstClick = "random"
    """Where the first click is: any pixel of the object, or its centre."""

    differences: Literal["paired", "unpaired"] = "paired"
    """Whether the groups of a difference are drawn from the same photos."""

    level: float = 0.95
    """Confidence of intervals, and of all differences of an attribute together."""

    min_area: int = 1
    """Least number of pixels of an object."""

    images: int | None = None
    """Most photos of a set, spread evenly over it (default: all)."""

    seed: int = 0
    """Seed of clicks and intervals."""

    def check(self, data: Sequence[Path], segmenter: str) -> None:
        """Checks that there is data, a model that takes clicks, and sensible numbers.

        Raises:
            OptionError: It is not so.
        """
        name = self.suite_name
        if not data:
            raise OptionError(f"--suite {name}: name sets of photos with --data")
        check_clicks(name, segmenter)
        if not self.clicks or min(self.clicks) < 1:
            raise OptionError("--clicks: expected numbers of at least 1")
        if not 0.5 <= self.level < 1:
            raise OptionError(f"--level {self.level}: expected 0.5 or more, below 1")
        for field in ("min_area", "images"):
            value = getattr(self, field)
            if value is not None and value < 1:
                words = field.replace("_", "-")
                raise OptionError(f"--{words} {value}: expected at least 1")

    def make(self, data: Sequence[Path], image_size: int | None) -> Suite:
        """Opens the sets and returns the suite."""
        selection = Selection(
            min_area=self.min_area, images=self.images, seed=self.seed
        )
        return people_suite(
            [
                open_people(path, selection, self.groups, self.parts, self.split)
                for path in data
            ],
            self,
        )

    @property
    def suite_name(self) -> str:
        """Name of the suite."""
        return "fairness"

    @property
    def parts(self) -> Parts:
        """What is scored in MIAP and FACET."""
        return "people"


@dataclass(frozen=True, kw_only=True)
class Clothing(Fairness):
    """Options of the suite `clothing`."""

    @property
    def suite_name(self) -> str:
        """Name of the suite."""
        return "clothing"

    @property
    def parts(self) -> Parts:
        """What is scored in MIAP and FACET."""
        return "clothing"


def open_people(
    path: Path,
    selection: Selection,
    groups: Path | None = None,
    parts: Parts = "people",
    split: str = "test",
) -> GroupedSamples:
    """Opens a set of people with groups.

    Args:
        path: The folder of MIAP or FACET, or with `groups` any dataset with masks.
        selection: The photos and objects to score.
        groups: A table of groups (`read_groups`).
        parts: What is scored in MIAP and FACET.
        split: The split of MIAP.

    Raises:
        ValueError: It is no such set, or a file is damaged.
        OSError: A file is not there or cannot be read.
    """
    if groups is not None:
        samples = open_dataset(path, selection)
        return GroupedSamples(samples=samples, groups=read_groups(groups))
    if is_miap(path):
        entries, table = miap_entries(path, parts, split)
        name = f"MIAP {split}"
    elif is_facet(path):
        entries, table = facet_entries(path, parts)
        name = "FACET"
    else:
        raise ValueError(
            f"{path}: got neither MIAP (open_images_extended_miap_boxes_*.csv) nor FACET "
            "(annotations/annotations.csv): name a table of groups with --groups"
        )
    return GroupedSamples(samples=open_entries(name, entries, selection), groups=table)


def people_suite(datasets: Sequence[GroupedSamples], options: Fairness) -> Suite:
    """Returns the suite.

    Args:
        datasets: The sets, as `open_people` opens them.
        options: Its options.

    Raises:
        ValueError: There is no dataset.
    """
    counts = tuple(sorted(set(options.clicks)))
    is_miap_test = all(dataset.name == "MIAP test" for dataset in datasets)
    return Suite(
        name=options.suite_name,
        datasets=tuple(datasets),
        policies=(
            InteractiveClicks(
                counts=counts, first=options.first_click, seed=options.seed
            ),
        ),
        metrics=(
            MaskIou(rename=short_name),
            GroupMeans(
                field=GROUPS,
                scores=tuple(map(str, counts)),
                level=options.level,
                paired=options.differences == "paired",
                seed=options.seed,
                figures=_PAPER[options.parts] if is_miap_test else None,
            ),
        ),
        protocol=_protocol(options, counts),
        deviations=_deviations(options, is_miap_test),
        seed=options.seed,
    )


def _protocol(options: Fairness, counts: tuple[int, ...]) -> dict[str, Any]:
    return {
        "clicks": list(counts),
        "first_click_at": options.first_click,
        "later_clicks": "the single mask; the last mask's logits are fed back",
        "groups": "the table" if options.groups else "as annotators perceived them",
        "differences": options.differences,
        "correction": "Holm, over the pairs of groups of an attribute at a number of "
        "clicks",
        "intervals": "percentile bootstrap over images",
        "level": options.level,
        "min_area": options.min_area,
        "images": options.images,
        "seed": options.seed,
    }


def _deviations(options: Fairness, is_miap_test: bool) -> tuple[str, ...]:
    """Returns where the protocol departs from the paper, or the paper leaves it open."""
    deviations = [
        "how the paper computes its intervals is not stated; here images are resampled",
        "after the first click the last mask's logits are a prompt too",
    ]
    if not is_miap_test:
        deviations.insert(0, "another set than the test split of MIAP")
    elif options.parts == "people":
        deviations.append(
            "masks and boxes are paired one to one, the nearest first: the paper leaves "
            "open how people who overlap are told apart"
        )
    else:
        deviations.append(
            "a mask of clothing takes the smallest box of a person that it lies in"
        )
    if options.first_click != "random":
        deviations.append("the first click is at the centre, not at random")
    return tuple(deviations)
