"""Comparison of several segmenters on the same images: paired differences of all scores.

Images are drawn with replacement, the same ones for both segmenters of a pair, so that
what is hard for both does not widen the interval. Scores that are means over objects are
drawn often; others, such as AP or ODS, are computed again from the records of the drawn
images, which is slower and done less often.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from samjax.evaluation.intervals import (
    RESAMPLES,
    bootstrap_means,
    interval,
    mean_of_sets,
)
from samjax.evaluation.metrics.metric import (
    ImageRecords,
    Metric,
    Summary,
    image_indices,
)
from samjax.files import KEY, json_text, mark_of, write_output

SLOW_RESAMPLES = 200
"""Draws of scores that are computed from all records of the images."""

Records = Mapping[str, Sequence[ImageRecords]]
"""The records of every image, by the name of the dataset."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The difference of a score between two segmenters.

    Attributes:
        score: Name of the score.
        of: The segmenter.
        against: The one whose score is subtracted.
        value: The difference.
        interval: Its 95 % interval.
        resamples: Number of draws that the interval is from.
        images: Number of images that both were scored on.
    """

    score: str
    of: str
    against: str
    value: float
    interval: list[float]
    resamples: int
    images: int

    @property
    def is_clear(self) -> bool:
        """Whether the interval excludes zero."""
        return not self.interval[0] <= 0 <= self.interval[1]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Scores of several segmenters side by side.

    Attributes:
        suite: Name of the suite.
        scores: Scores by segmenter, means over the sets, of the images that all were
            scored on.
        differences: Of every further segmenter against the first.
    """

    suite: str
    scores: Mapping[str, Mapping[str, float]]
    differences: tuple[Difference, ...]

    def table(self) -> str:
        """Returns the scores side by side, and the differences with their intervals."""
        first, *others = self.scores
        by_place = {(part.score, part.of): part for part in self.differences}
        rows = [["score", first]]
        for other in others:
            rows[0] += [other, "difference", "95 % interval"]
        for name, value in self.scores[first].items():
            row = [name, f"{value:.3f}"]
            for other in others:
                part = by_place.get((name, other))
                if part is None:
                    row += ["-", "", ""]
                    continue
                low, high = part.interval
                row.append(f"{self.scores[other][name]:.3f}")
                row += [f"{part.value:+.3f}", f"{low:+.3f} to {high:+.3f}"]
            rows.append(row)
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join(
            "  ".join(
                cell.rjust(width) if column else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        )

    def save(self, path: str | os.PathLike, *, overwrite: bool = False) -> None:
        """Writes the comparison as JSON; no partial file is ever left.

        Args:
            path: Path of the file.
            overwrite: Whether a file that is no result of an evaluation is replaced.

        Raises:
            WouldReplace: Such a file is there, and stays as it is.
            OSError: It cannot be written.
        """
        content = {KEY: mark_of("evaluation"), **asdict(self)}
        text = json_text(content, indent=1)
        write_output(path, f"{text}\n".encode(), "evaluation", overwrite=overwrite)


def compare(
    suite: str,
    metrics: Sequence[Metric],
    records: Mapping[str, Records],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    slow_resamples: int = SLOW_RESAMPLES,
) -> Comparison:
    """Compares segmenters by the records of their evaluations.

    Args:
        suite: Name of the suite.
        metrics: Its metrics.
        records: The records of each segmenter, by its name; the first one is what the
            others are compared with. `evaluate` hands them to `on_records`.
        seed: Seed of the bootstrap.
        resamples: Draws of scores that are means over objects.
        slow_resamples: Draws of all others.

    Raises:
        ValueError: There are fewer than two segmenters, or no image is common to all, or
            segmenters were scored on other objects of an image.
    """
    names = list(records)
    if len(names) < 2:
        raise ValueError(f"got the segmenters {names}, expected at least two")
    common = common_records(records)
    scores = {name: _means(metrics, common[name]) for name in names}
    differences = []
    for name in names[1:]:
        pair = common[name], common[names[0]]
        draws = _draws(metrics, pair, seed, resamples, slow_resamples)
        for score, by_set in draws.items():
            differences.append(
                Difference(
                    score=score,
                    of=name,
                    against=names[0],
                    value=scores[name][score] - scores[names[0]][score],
                    interval=interval(mean_of_sets(by_set)),
                    resamples=len(by_set[0]),
                    images=sum(map(len, common[name].values())),
                )
            )
    return Comparison(suite=suite, scores=scores, differences=tuple(differences))


def common_records(
    records: Mapping[str, Records],
) -> dict[str, dict[str, list[ImageRecords]]]:
    """Returns the records of images that every segmenter was scored on, by name.

    Args:
        records: The records of each segmenter, by its name.

    Raises:
        ValueError: No image is common to all, or segmenters were scored on other objects
            of an image.
    """
    sets = list(next(iter(records.values())))
    names = {
        of_set: set.intersection(
            *({image.name for image in of.get(of_set, ())} for of in records.values())
        )
        for of_set in sets
    }
    if not all(names.values()):
        raise ValueError(
            "got no image that all segmenters were scored on, expected some: compare "
            "evaluations of the same sets"
        )
    common = {
        segmenter: {
            of_set: sorted(
                (image for image in of[of_set] if image.name in names[of_set]),
                key=lambda image: image.name,
            )
            for of_set in sets
        }
        for segmenter, of in records.items()
    }
    counts = {
        segmenter: [len(image.objects) for images in of.values() for image in images]
        for segmenter, of in common.items()
    }
    first, *others = counts.values()
    if any(other != first for other in others):
        raise ValueError(
            "got different numbers of objects in the same images, expected evaluations "
            "of the same objects"
        )
    return common


def _summarize(
    metrics: Sequence[Metric], images: Sequence[ImageRecords]
) -> list[Summary]:
    return [metric.summarize(images) for metric in metrics]


def _of_images(
    metrics: Sequence[Metric], images: Sequence[ImageRecords]
) -> dict[str, float]:
    scores = {}
    for summary in _summarize(metrics, images):
        means = summary.per_object.items()
        scores |= {name: float(np.nanmean(values)) for name, values in means}
        scores |= dict(summary.scores)
    return scores


def _means(metrics: Sequence[Metric], sets: Records) -> dict[str, float]:
    """Returns the scores, means over the sets that have them."""
    by_set = [_of_images(metrics, images) for images in sets.values()]
    names = dict.fromkeys(name for scores in by_set for name in scores)
    return {
        name: float(np.mean([scores[name] for scores in by_set if name in scores]))
        for name in names
    }


def _draws(
    metrics: Sequence[Metric],
    pair: tuple[Records, Records],
    seed: int,
    resamples: int,
    slow_resamples: int,
) -> dict[str, list[Float[np.ndarray, " r"]]]:
    """Returns the drawn differences of every score, set by set."""
    draws: dict[str, list[Float[np.ndarray, " r"]]] = {}
    for of_set in pair[0]:
        images = pair[0][of_set], pair[1][of_set]
        sides = [_summarize(metrics, side) for side in images]
        for summary, other in zip(*sides, strict=True):
            for name in _both(summary.per_object, other.per_object):
                change = summary.per_object[name] - other.per_object[name]
                counted = ~np.isnan(change)
                indices = image_indices(images[0])[counted]
                draws.setdefault(name, []).append(
                    bootstrap_means(
                        change[counted], indices, seed=seed, resamples=resamples
                    )
                )
        slow = [
            metric
            for metric, (left, right) in zip(
                metrics, zip(*sides, strict=True), strict=True
            )
            if left.scores.keys() & right.scores.keys()
        ]
        if slow:
            drawn = _slow_draws(slow, images, seed, slow_resamples)
            for name, values in drawn.items():
                draws.setdefault(name, []).append(values)
    return draws


def _both(first: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Returns the names of both, in the order of the first."""
    return [name for name in first if name in other]


def _slow_draws(
    metrics: Sequence[Metric],
    images: tuple[Sequence[ImageRecords], Sequence[ImageRecords]],
    seed: int,
    resamples: int,
) -> dict[str, Float[np.ndarray, " r"]]:
    """Returns differences of scores that are computed from all records at once."""
    rng = np.random.default_rng(seed)
    count = len(images[0])
    drawn: dict[str, list[float]] = {}
    for _ in range(resamples):
        indices = rng.integers(0, count, count)
        left, right = (
            dict(item)
            for item in (
                [
                    pair
                    for metric in metrics
                    for pair in metric.summarize(
                        [side[i] for i in indices]
                    ).scores.items()
                ]
                for side in images
            )
        )
        # A draw without an object of a group has no score of it.
        for name in _both(left, right):
            drawn.setdefault(name, []).append(left[name] - right[name])
    return {name: np.array(values) for name, values in drawn.items()}
