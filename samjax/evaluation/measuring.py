"""Measuring of the images of a dataset, in order: metrics in other processes, resumed.

The segmenter runs in this process. With several workers the metrics of an image are
computed in others, while the segmenter goes on to the next images.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import connection
from typing import NamedTuple, Protocol, runtime_checkable

from samjax.data.share import ALL, Share
from samjax.evaluation.datasets.dataset import Dataset, Sample, Skipped
from samjax.evaluation.edge_detectors import EdgeDetector
from samjax.evaluation.kept_images import content_of
from samjax.evaluation.metrics.metric import ImageRecords, Metric
from samjax.evaluation.policies.policy import PromptPolicy, Round, Session
from samjax.evaluation.segmenter import Segmenter


class Measured(NamedTuple):
    """An image that was measured.

    Attributes:
        records: Its records.
        content: Hash of its pixels and truth.
        skipped: Its parts that are left out.
        was_kept: Whether an earlier run measured it.
    """

    records: ImageRecords
    content: str
    skipped: Sequence[Skipped]
    was_kept: bool = False


@runtime_checkable
class Keeper(Protocol):
    """Records of images of earlier runs, to which those of this one are added."""

    def find(self, dataset: str, name: str, content: str) -> ImageRecords | None:
        """Returns the records of an image; None for one that is to be measured."""
        ...

    def add(self, dataset: str, content: str, records: ImageRecords) -> None:
        """Adds the records of an image."""
        ...


class Measurement(NamedTuple):
    """How the images of a suite are measured.

    Attributes:
        policies: How the segmenter is prompted.
        metrics: The metrics.
        workers: Processes that compute the metrics; with 1 it is this one.
    """

    policies: Sequence[PromptPolicy]
    metrics: Sequence[Metric]
    workers: int = 1


def measure_images(
    measurement: Measurement,
    dataset: Dataset,
    segmenter: Segmenter | EdgeDetector,
    kept: Keeper | None = None,
    share: Share = ALL,
) -> Iterator[Measured | Skipped]:
    """Yields the images of a dataset in its order, measured or skipped.

    Args:
        measurement: How they are measured.
        dataset: The dataset.
        segmenter: The model.
        kept: Records of an earlier run, to which those of this one are added.
        share: The images that are measured.
    """
    indices = range(share.index, len(dataset), share.count)
    if measurement.workers == 1:
        for index in indices:
            yield _begin(measurement, dataset, index, segmenter, kept, None)()
        return
    # Forking a process with JAX's threads can hang.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(measurement.workers, context, end_with_parent)
    begun: deque[Callable[[], Measured | Skipped]] = deque()
    try:
        for index in indices:
            begun.append(_begin(measurement, dataset, index, segmenter, kept, pool))
            # Bounds the images in memory, and keeps every worker busy.
            if len(begun) > 2 * measurement.workers:
                yield begun.popleft()()
        while begun:
            yield begun.popleft()()
    finally:
        pool.shutdown(cancel_futures=True)


def measure_image(
    measurement: Measurement, segmenter: Segmenter | EdgeDetector, sample: Sample
) -> ImageRecords:
    """Prompts for one image and returns its records."""
    rounds = rounds_of(measurement, segmenter, sample)
    return _observe(measurement.metrics, rounds, sample)


def end_with_parent() -> None:
    """Ends this process as soon as its parent has ended, however that was.

    Workers of a pool whose parent is killed wait for work for ever.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def rounds_of(
    measurement: Measurement, segmenter: Segmenter | EdgeDetector, sample: Sample
) -> Iterator[Round]:
    """Yields the rounds of all policies that the segmenter can follow, for one image."""
    session = Session(segmenter, sample)
    for policy in measurement.policies:
        if policy.kinds <= segmenter.prompt_kinds:
            yield from policy.rounds(session)


def _begin(
    measurement: Measurement,
    dataset: Dataset,
    index: int,
    segmenter: Segmenter | EdgeDetector,
    kept: Keeper | None,
    pool: ProcessPoolExecutor | None,
) -> Callable[[], Measured | Skipped]:
    """Begins with an image; returns a function that waits for its records."""
    sample = dataset[index]
    if isinstance(sample, Skipped):
        return lambda: sample
    content = content_of(sample)
    known = kept.find(dataset.name, sample.name, content) if kept else None
    if known is not None:
        return lambda: Measured(known, content, sample.skipped, was_kept=True)

    def finish(records: ImageRecords) -> Measured:
        if kept:
            kept.add(dataset.name, content, records)
        return Measured(records, content, skipped)

    skipped = sample.skipped
    rounds = rounds_of(measurement, segmenter, sample)
    if pool is None:
        measured = finish(_observe(measurement.metrics, rounds, sample))
        return lambda: measured
    future = pool.submit(_observe, measurement.metrics, list(rounds), sample)
    return lambda: finish(future.result())


def _observe(
    metrics: Sequence[Metric], rounds: Iterator[Round] | Sequence[Round], sample: Sample
) -> ImageRecords:
    """Returns the records of an image; at the top level, to be called in a process."""
    records = ImageRecords(
        name=sample.name, objects=[dict(fields) for fields in sample.objects]
    )
    for round in rounds:
        for metric in metrics:
            metric.observe(round, sample, records)
    return records
