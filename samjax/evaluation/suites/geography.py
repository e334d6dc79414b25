"""Geography and income (SAM, section 6): photos, masks and mean IoU by group of a table.

The table has the country of every photo, and perhaps its region and the income group of
the country. Income groups of the World Bank change from year to year, so the table
carries the year.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from samjax.evaluation.datasets import open_dataset
from samjax.evaluation.datasets.people.grouping import (
    GROUPS,
    GroupedSamples,
    Groups,
    Key,
    read_groups,
)
from samjax.evaluation.datasets.selection import Selection
from samjax.evaluation.metrics.group_counts import GroupCounts
from samjax.evaluation.metrics.group_means import GroupMeans
from samjax.evaluation.metrics.mask_iou import MaskIou, short_name
from samjax.evaluation.policies.interactive_clicks import (
    FirstClick,
    InteractiveClicks,
)
from samjax.evaluation.suite import Suite
from samjax.evaluation.suites import OptionError, SuiteOptions, check_clicks

NAME = "geography"
YEAR = "year"

SA1B_SHARES = {
    "region": {
        "Africa": 0.028,
        "Asia & Oceania": 0.362,
        "Europe": 0.498,
        "Latin America & Caribbean": 0.035,
        "North America": 0.077,
    },
    "income": {"high": 0.540, "middle": 0.450, "low": 0.009},
}
"""Shares of SA-1B's photos (table 1 of the paper)."""


@dataclass(frozen=True, kw_only=True)
class Geography(SuiteOptions):
    """Options of the suite."""

    table: Path | None = None
    """A CSV or JSON table with a row per photo: columns image, country, and perhaps
    region, income and year."""

    clicks: tuple[int, ...] = (1, 3)
    """Numbers of clicks to score at."""

    first_click: FirstClick = "centre"
    """Where the first click is: the centre of the object, or any pixel of it."""

    level: float = 0.95
    """Confidence of intervals, and of all differences of an attribute together."""

    min_area: int = 1
    """Least number of pixels of an object."""

    images: int | None = None
    """Most photos of a set, spread evenly over it (default: all)."""

    objects: int | None = None
    """Most objects of a photo that are scored, drawn at random; only these are counted
    (default: all)."""

    seed: int = 0
    """Seed of drawn objects, random clicks and intervals."""

    def check(self, data: Sequence[Path], segmenter: str) -> None:
        """Checks that there is data, a table, and a model that takes clicks.

        Raises:
            OptionError: It is not so.
        """
        if not data or self.table is None:
            raise OptionError(
                "--suite geography: name sets of photos with --data, and the countries "
                "of their photos with --table"
            )
        check_clicks(NAME, segmenter)
        if not self.clicks or min(self.clicks) < 1:
            raise OptionError("--clicks: expected numbers of at least 1")
        if not 0.5 <= self.level < 1:
            raise OptionError(f"--level {self.level}: expected 0.5 or more, below 1")
        for field in ("min_area", "images", "objects"):
            value = getattr(self, field)
            if value is not None and value < 1:
                words = field.replace("_", "-")
                raise OptionError(f"--{words} {value}: expected at least 1")

    def make(self, data: Sequence[Path], image_size: int | None) -> Suite:
        """Opens the sets and the table and returns the suite.

        Raises:
            ValueError: There is no table, or a set or the table is damaged.
        """
        if self.table is None:
            raise ValueError("got no table of countries")
        table, years = read_places(self.table)
        selection = Selection(
            min_area=self.min_area,
            images=self.images,
            objects=self.objects,
            seed=self.seed,
        )
        counts = tuple(sorted(set(self.clicks)))
        return Suite(
            name=NAME,
            datasets=tuple(
                GroupedSamples(samples=open_dataset(path, selection), groups=table)
                for path in data
            ),
            policies=(
                InteractiveClicks(
                    counts=counts, first=self.first_click, seed=self.seed
                ),
            ),
            metrics=(
                MaskIou(rename=short_name),
                GroupCounts(field=GROUPS, figures=SA1B_SHARES),
                GroupMeans(
                    field=GROUPS,
                    scores=tuple(map(str, counts)),
                    level=self.level,
                    seed=self.seed,
                ),
            ),
            protocol={
                "clicks": list(counts),
                "first_click_at": self.first_click,
                "later_clicks": "the single mask; the last mask's logits are fed back",
                "years_of_the_table": years,
                "level": self.level,
                "min_area": self.min_area,
                "images": self.images,
                "objects_per_image": self.objects,
                "seed": self.seed,
            },
            deviations=(
                "countries are the table's; the paper's are from captions of SA-1B",
                "the paper counts and does not score by country",
            ),
            seed=self.seed,
        )


def read_places(path: Path) -> tuple[dict[Key, Groups], list[str]]:
    """Reads a table of places.

    Args:
        path: The table (`read_groups`); values of `income` may end in " income".

    Returns:
        The groups without the year, and the years of the table.

    Raises:
        ValueError: It is no such table, or has income groups and no year.
        OSError: It is not there or cannot be read.
    """
    table: dict[Key, Groups] = {}
    years: set[str] = set()
    for key, groups in read_groups(path).items():
        of_row = dict(groups)
        if (year := of_row.pop(YEAR, None)) is not None:
            years.add(year)
        elif "income" in of_row:
            raise ValueError(
                f"{path}: got an income group of {key[0]!r} without a year: the World "
                "Bank's groups change, so add the column year"
            )
        if income := of_row.get("income"):
            of_row["income"] = income.lower().removesuffix("income").strip(" -")
        table[key] = of_row
    return table, sorted(years)
