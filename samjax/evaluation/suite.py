"""Evaluation suites as values: datasets, prompt policies and metrics; and their runner."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from samjax.data.share import Share
from samjax.evaluation.datasets.dataset import Dataset, Sample, Skipped
from samjax.evaluation.edge_detectors import EdgeDetector
from samjax.evaluation.intervals import bootstrap_means, interval, mean_of_sets
from samjax.evaluation.measuring import (
    Keeper,
    Measurement,
    measure_image,
    measure_images,
)
from samjax.evaluation.metrics.metric import (
    ImageRecords,
    Metric,
    Summary,
    image_indices,
    objects_of,
)
from samjax.evaluation.policies.policy import PromptPolicy
from samjax.evaluation.result import Result, SetResult
from samjax.evaluation.segmenter import PromptKind, Segmenter


@dataclass(frozen=True, kw_only=True)
class Suite:
    """An evaluation: datasets x prompt policies x metrics.

    Attributes:
        name: Name of the suite.
        datasets: The datasets; each counts as much as the others.
        policies: How the segmenter is prompted for an image, one policy after the other.
        metrics: The metrics of the predicted masks.
        protocol: Every choice that the scores depend on, in JSON's types.
        deviations: Differences from the protocol of the paper.
        heading: Heading of the table of scores.
        seed: Seed of the bootstrap.
        scores_only: Leaves out intervals and the description of the model, which cost
            time: for scores during training.
        workers: Processes that compute the metrics, for metrics that take long.
        version: Version of the protocol: results of different ones do not compare.
    """

    name: str
    datasets: tuple[Dataset, ...]
    policies: tuple[PromptPolicy, ...]
    metrics: tuple[Metric, ...]
    protocol: Mapping[str, Any]
    deviations: tuple[str, ...] = ()
    heading: str = "mean IoU"
    seed: int = 0
    scores_only: bool = False
    workers: int = 1
    version: int = 1

    def __post_init__(self):
        names = [dataset.name for dataset in self.datasets]
        if not names or len(set(names)) < len(names):
            raise ValueError(
                f"got the sets {names}, expected some, each with its own name"
            )

    def __len__(self) -> int:
        """Returns the number of images."""
        return sum(map(len, self.datasets))

    @property
    def measurement(self) -> Measurement:
        """How its images are measured."""
        return Measurement(self.policies, self.metrics, self.workers)


def evaluate(
    suite: Suite,
    segmenter: Segmenter | EdgeDetector,
    *,
    versions: Mapping[str, str] | None = None,
    kept: Keeper | None = None,
    on_image: Callable[[], None] = lambda: None,
    on_kept: Callable[[], None] | None = None,
    on_skipped: Callable[[Skipped], None] = lambda skipped: None,
    on_set: Callable[[SetResult], None] = lambda result: None,
    on_records: Callable[[str, Sequence[ImageRecords]], None] = lambda name, images: (
        None
    ),
) -> Result:
    """Evaluates a segmenter by a suite.

    Args:
        suite: The suite.
        segmenter: The model.
        versions: Versions of packages, for the result.
        kept: Records of images of an earlier run, which are not measured again; those
            of this run are added.
        on_image: Called after every image.
        on_kept: Called in its place after an image of an earlier run.
        on_skipped: Called with every image that cannot be used.
        on_set: Called with the result of every dataset.
        on_records: Called with the name of every dataset and the records of its images,
            from which its scores are computed.

    Raises:
        ValueError: A dataset has nothing to score, or a metric needs a kind of prompt
            that the segmenter does not take.
    """
    kinds = segmenter.prompt_kinds
    _check_prompts(suite, kinds)
    calls = _Calls(on_image, on_kept or on_image, on_skipped)
    outcomes: list[_Outcome] = []
    for dataset in suite.datasets:
        outcomes.append(_run(suite, dataset, segmenter, kept, calls))
        on_set(outcomes[-1].result)
        on_records(dataset.name, outcomes[-1].images)
    sets = tuple(outcome.result for outcome in outcomes)
    images = [image for outcome in outcomes for image in outcome.images]
    details: dict[str, Any] = {}
    for metric in suite.metrics:
        details |= metric.pooled(images)
    draws = [outcome.draws for outcome in outcomes]
    return Result(
        suite=suite.name,
        suite_version=suite.version,
        model={} if suite.scores_only else segmenter.describe(),
        protocol={**suite.protocol, "prompts": sorted(kinds)},
        deviations=suite.deviations,
        scores={
            name: float(np.mean([of.scores[name] for of in sets if name in of.scores]))
            for name in _all_names([result.scores for result in sets])
        },
        intervals={
            name: interval(mean_of_sets([of[name] for of in draws if name in of]))
            for name in _all_names(draws)
        },
        details=details,
        sets=sets,
        versions=dict(versions or {}),
    )


def measure_share(
    suite: Suite,
    segmenter: Segmenter | EdgeDetector,
    kept: Keeper,
    share: Share,
    *,
    on_image: Callable[[], None] = lambda: None,
    on_kept: Callable[[], None] | None = None,
    on_skipped: Callable[[Skipped], None] = lambda skipped: None,
) -> int:
    """Measures the images of a share, whose scores follow when all shares are merged.

    Args:
        suite: The suite.
        segmenter: The model.
        kept: Where the records of the images are kept.
        share: The images of every dataset that are measured.
        on_image: Called after every image.
        on_kept: Called in its place after an image of an earlier run.
        on_skipped: Called with every image that cannot be used.

    Returns:
        The number of images with records.

    Raises:
        ValueError: A metric needs a kind of prompt that the segmenter does not take.
    """
    _check_prompts(suite, segmenter.prompt_kinds)
    count = 0
    for dataset in suite.datasets:
        for image in measure_images(suite.measurement, dataset, segmenter, kept, share):
            if isinstance(image, Skipped):
                on_skipped(image)
                on_image()
                continue
            count += 1
            (on_kept or on_image if image.was_kept else on_image)()
    return count


def _check_prompts(suite: Suite, kinds: frozenset[PromptKind]) -> None:
    for metric in suite.metrics:
        if missing := metric.needs - kinds:
            raise ValueError(
                f"got a model that takes {sorted(kinds)} alone, expected one that takes "
                f"{' and '.join(sorted(missing))}, for {type(metric).__name__}"
            )


@dataclass(frozen=True)
class _Outcome:
    """The result on a dataset, with what scores over all datasets are computed from."""

    result: SetResult
    images: list[ImageRecords]
    draws: Mapping[str, Float[np.ndarray, " r"]]


class _Calls(NamedTuple):
    """What `evaluate` calls as it goes."""

    on_image: Callable[[], None]
    on_kept: Callable[[], None]
    on_skipped: Callable[[Skipped], None]


def _run(
    suite: Suite,
    dataset: Dataset,
    segmenter: Segmenter | EdgeDetector,
    kept: Keeper | None,
    calls: _Calls,
) -> _Outcome:
    start = time.perf_counter()
    skipped, images = list(dataset.skipped), []
    fingerprint = hashlib.sha256()
    for image in measure_images(suite.measurement, dataset, segmenter, kept):
        if isinstance(image, Skipped):
            skipped.append(image)
            calls.on_skipped(image)
            calls.on_image()
            continue
        skipped += image.skipped
        if image.records.objects or image.records.values:
            images.append(image.records)
            fingerprint.update(f"{image.records.name}\0{image.content}\n".encode())
        (calls.on_kept if image.was_kept else calls.on_image)()
    if not images:
        raise ValueError(_nothing_to_score(dataset, skipped))
    summaries = [metric.summarize(images) for metric in suite.metrics]
    draws = {} if suite.scores_only else _draws(suite, images, summaries)
    result = SetResult(
        name=dataset.name,
        images=len(images),
        fingerprint=fingerprint.hexdigest(),
        scores={
            name: score
            for summary in summaries
            for name, score in _scores(summary).items()
        },
        intervals={name: interval(of_score) for name, of_score in draws.items()},
        details={
            name: table
            for summary in summaries
            for name, table in summary.details.items()
        },
        small=dataset.small,
        skipped=_by_reason(skipped),
        objects=tuple(objects_of(images)),
        seconds=time.perf_counter() - start,
    )
    return _Outcome(result, images, draws)


def measure(
    suite: Suite, segmenter: Segmenter | EdgeDetector, sample: Sample
) -> ImageRecords:
    """Prompts for one image by the policies of a suite and returns its records."""
    return measure_image(suite.measurement, segmenter, sample)


def _all_names(sets: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns all names; a set without an object of some kind lacks its score."""
    return list(dict.fromkeys(name for of_set in sets for name in of_set))


def _scores(summary: Summary) -> dict[str, float]:
    means = {name: float(np.nanmean(of)) for name, of in summary.per_object.items()}
    return means | dict(summary.scores)


def _draws(
    suite: Suite, images: Sequence[ImageRecords], summaries: Sequence[Summary]
) -> dict[str, Float[np.ndarray, " r"]]:
    """Returns the bootstrapped means of all scores that are means over objects."""
    indices = image_indices(images)
    draws = {}
    for summary in summaries:
        for name, values in summary.per_object.items():
            counted = ~np.isnan(values)
            draws[name] = bootstrap_means(
                values[counted], indices[counted], seed=suite.seed
            )
    return draws


def _nothing_to_score(dataset: Dataset, skipped: Sequence[Skipped]) -> str:
    text = f"the set {dataset.name} has no object to score"
    if dataset.small:
        text += f"; {dataset.small} are below the least area"
    reasons = "; ".join(f"{part.name}: {part.reason}" for part in skipped[:3])
    return f"{text}{': ' if reasons else ''}{reasons}"


def _by_reason(skipped: Sequence[Skipped]) -> dict[str, list[str]]:
    by_reason: dict[str, list[str]] = {}
    for part in skipped:
        text = part.detail if part.name in part.detail else f"{part.name} {part.detail}"
        by_reason.setdefault(part.reason, []).append(text.strip())
    return by_reason
