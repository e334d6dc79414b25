"""Means of groups and their differences: intervals over images, and Holm's correction.

Images are resampled, as in `intervals`. Paired differences take both groups of a draw
from the same images, so that what an image does to both cancels; unpaired ones draw the
images of each group for itself. P-values are those of the difference over its standard
error in the draws, two-sided and normal. Holm's step-down correction keeps the chance of
any false difference among all pairs of groups at the level.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Integer, Real

from samjax.evaluation.intervals import RESAMPLES, bootstrap_group_means, interval


@dataclass(frozen=True, kw_only=True)
class GroupMean:
    """The mean of a group.

    Attributes:
        mean: Mean over its objects.
        interval: Its 95 % interval.
        images: Number of images with an object of the group.
        objects: Number of objects.
    """

    mean: float
    interval: list[float]
    images: int
    objects: int


@dataclass(frozen=True, kw_only=True)
class GroupDifference:
    """The difference of two groups.

    Attributes:
        first: The one group.
        second: The other.
        difference: Mean of the first less mean of the second.
        interval: Its 95 % interval, without regard to other pairs.
        p: P-value without regard to other pairs.
        p_holm: P-value after Holm's correction.
        differs: Whether the groups differ: `p_holm` is below 1 less the level.
    """

    first: str
    second: str
    difference: float
    interval: list[float]
    p: float
    p_holm: float
    differs: bool


@dataclass(frozen=True, kw_only=True)
class GroupComparison:
    """The groups of an attribute.

    Attributes:
        groups: The means, by name of the group.
        differences: All pairs of groups.
    """

    groups: dict[str, GroupMean]
    differences: list[GroupDifference]

    def as_table(self) -> dict[str, Any]:
        """Returns the numbers in JSON's types."""
        return asdict(self)


def compare_groups(
    values: Real[np.ndarray, " n"],
    images: Integer[np.ndarray, " n"],
    groups: Sequence[str],
    *,
    level: float = 0.95,
    paired: bool = True,
    seed: int = 0,
    resamples: int = RESAMPLES,
    compare: bool = True,
) -> GroupComparison:
    """Compares the means of groups of objects.

    Args:
        values: One value per object.
        images: Index of each object's image.
        groups: The group of each object.
        level: Confidence of the intervals and of all differences together.
        paired: Whether both groups of a difference are taken from the same images.
        seed: Seed of the draws.
        resamples: Number of draws.
        compare: Whether differences are computed; they grow with the pairs of groups.
    """
    names, index = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    draws = bootstrap_group_means(
        values, images, index, paired=paired, seed=seed, resamples=resamples
    )
    means: dict[str, GroupMean] = {}
    for number, name in enumerate(names):
        own = index == number
        means[str(name)] = GroupMean(
            mean=float(values[own].mean()),
            interval=interval(_known(draws[number]), level),
            images=len(np.unique(images[own])),
            objects=int(own.sum()),
        )
    pairs = list(itertools.combinations(range(len(names)), 2)) if compare else []
    found = [
        _difference(means, draws, str(names[first]), str(names[second]), first, second)
        for first, second in pairs
    ]
    adjusted = holm([p for _, _, p in found])
    return GroupComparison(
        groups=means,
        differences=[
            GroupDifference(
                first=str(names[first]),
                second=str(names[second]),
                difference=difference,
                interval=interval(drawn, level),
                p=p,
                p_holm=p_holm,
                differs=p_holm < 1 - level,
            )
            for (first, second), (difference, drawn, p), p_holm in zip(
                pairs, found, adjusted, strict=True
            )
        ],
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Returns p-values of several tests by Holm's step-down correction.

    Args:
        p_values: The p-values of the single tests.
    """
    order = np.argsort(p_values, kind="stable")
    adjusted, largest = np.zeros(len(p_values)), 0.0
    for rank, number in enumerate(order):
        largest = max(largest, (len(p_values) - rank) * p_values[number])
        adjusted[number] = min(largest, 1.0)
    return adjusted.tolist()


def _difference(
    means: dict[str, GroupMean],
    draws: Float[np.ndarray, "g r"],
    first_name: str,
    second_name: str,
    first: int,
    second: int,
) -> tuple[float, Float[np.ndarray, " _"], float]:
    """Returns the difference of two groups, its draws, and its p-value."""
    difference = means[first_name].mean - means[second_name].mean
    drawn = _known(draws[first] - draws[second])
    error = float(drawn.std())
    if error == 0:
        return difference, drawn, float(difference == 0)
    return difference, drawn, math.erfc(abs(difference) / error / math.sqrt(2))


def _known(draws: Float[np.ndarray, " r"]) -> Float[np.ndarray, " _"]:
    """Removes the draws without an image of the group."""
    return draws[~np.isnan(draws)]
