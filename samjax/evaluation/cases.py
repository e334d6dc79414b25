"""The best, median and worst cases of a dataset, and pictures of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from samjax.evaluation.datasets.boundary_sets import BOUNDARIES
from samjax.evaluation.datasets.dataset import Dataset, Sample, Skipped
from samjax.evaluation.edge_detectors import EdgeDetector
from samjax.evaluation.measuring import rounds_of
from samjax.evaluation.metrics.metric import Case
from samjax.evaluation.policies.policy import Response
from samjax.evaluation.segmenter import Segmenter
from samjax.evaluation.suite import Suite
from samjax.visualize import draw_boxes, draw_masks, draw_points

CASES = 3
"""Cases of each kind in a report."""

_TRUE, _PREDICTED = (250, 200, 40), (40, 140, 250)


class ChosenCase(NamedTuple):
    """A case of a report.

    Attributes:
        kind: `worst`, `median` or `best`.
        case: The case.
        picture: The image with truth and prediction; None for none.
    """

    kind: str
    case: Case
    picture: UInt8[np.ndarray, "h w 3"] | None = None


def choose_cases(cases: Sequence[Case], count: int = CASES) -> list[ChosenCase]:
    """Returns the worst, the median and the best cases, none of them twice.

    Args:
        cases: All cases.
        count: Number of each kind.
    """
    ranked = sorted(cases, key=lambda case: (case.score, case.image, case.index or 0))
    worst = ranked[:count]
    best = ranked[len(worst) :][-count:]
    between = ranked[len(worst) : len(ranked) - len(best)]
    start = max((len(between) - count) // 2, 0)
    kinds = {
        "worst": worst,
        "median": between[start : start + count],
        "best": best[::-1],
    }
    return [ChosenCase(kind, case) for kind, of in kinds.items() for case in of]


def draw_cases(
    suite: Suite,
    segmenter: Segmenter | EdgeDetector,
    dataset: Dataset,
    chosen: Sequence[ChosenCase],
) -> list[ChosenCase]:
    """Returns cases with pictures, for which their images are predicted once more.

    Args:
        suite: The suite.
        segmenter: The model.
        dataset: The dataset that they are of.
        chosen: The cases.
    """
    wanted = {of.case.image for of in chosen}
    drawn: dict[Case, np.ndarray] = {}
    for sample in _samples(dataset):
        if sample.name not in wanted:
            continue
        for of in chosen:
            if of.case.image == sample.name:
                drawn[of.case] = _draw(suite, segmenter, sample, of.case.index)
        wanted.remove(sample.name)
        if not wanted:
            break
    return [of._replace(picture=drawn.get(of.case)) for of in chosen]


def _samples(dataset: Dataset) -> Iterator[Sample]:
    for index in range(len(dataset)):
        sample = dataset[index]
        if not isinstance(sample, Skipped):
            yield sample


def _draw(
    suite: Suite, segmenter: Segmenter | EdgeDetector, sample: Sample, index: int | None
) -> UInt8[np.ndarray, "h w 3"]:
    """Returns the truth beside the first prediction of an object or an image."""
    for round in rounds_of(suite.measurement, segmenter, sample):
        if index is None and round.edges is not None:
            truth = np.asarray(sample.truth[BOUNDARIES], float).mean(axis=0)
            return _beside(sample.image, _grey(round.edges), _grey(truth))
        for response in round.responses:
            if response.index == index and response.target is not None:
                return _beside(*_panels(sample, response))
    return sample.image


def _panels(sample: Sample, response: Response) -> tuple[np.ndarray, np.ndarray]:
    """Returns the image with the true mask and the prompt, and with the predicted mask."""
    assert response.target is not None
    true = draw_masks(sample.image, response.target[None], colors=[_TRUE])
    if response.prompt.box is not None:
        true = draw_boxes(true, np.asarray(response.prompt.box)[None])
    if response.prompt.points is not None:
        points, labels = response.prompt.points, response.prompt.labels
        true = draw_points(
            true, np.asarray(points), None if labels is None else np.asarray(labels)
        )
    return true, draw_masks(sample.image, response.mask[None], colors=[_PREDICTED])


def _grey(values: np.ndarray) -> UInt8[np.ndarray, "h w 3"]:
    """Returns values from 0 to 1 as dark lines on white."""
    levels = np.rint(255 * (1 - np.clip(values, 0, 1))).astype(np.uint8)
    return np.repeat(levels[..., None], 3, axis=2)


def _beside(*panels: np.ndarray) -> UInt8[np.ndarray, "h w 3"]:
    """Returns pictures of one size side by side, with a gap."""
    gap = np.full((panels[0].shape[0], 6, 3), 128, np.uint8)
    parts = [part for panel in panels for part in (gap, panel)]
    return np.concatenate(parts[1:], axis=1)
