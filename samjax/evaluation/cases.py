"""The best, median and worst cases of a dataset, and pictures of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from samjax.evaluation.datasets.boundary_sets import BOUNDARIES
from samjax.evaluation.datasets.dataset import Dataset, Sample, Skipped
from samjax.evaluation.datasets.detection_sets import annotated_of
from samjax.evaluation.detections import Detection, overlaps
from samjax.evaluation.edge_detectors import EdgeDetector
from samjax.evaluation.measuring import Measurement, rounds_of
from samjax.evaluation.metrics.metric import Case
from samjax.evaluation.policies.policy import Response
from samjax.evaluation.segmenter import Segmenter
from samjax.evaluation.suite import Suite
from samjax.geometry.masks import decode_rle
from samjax.visualize import draw_boxes, draw_masks, draw_points, mask_color

CASES = 3
"""Cases of each kind in a report."""

_TRUE, _PREDICTED = (250, 200, 40), (40, 140, 250)


class ChosenCase(NamedTuple):
    """A case of a report.

    Attributes:
        kind: `worst`, `median` or `best`.
        case: The case.
        picture: Panels side by side, of truth and prediction; None for none.
        panels: Names of the panels, from left to right.
    """

    kind: str
    case: Case
    picture: UInt8[np.ndarray, "h w 3"] | None = None
    panels: tuple[str, ...] = ()


class Panels(NamedTuple):
    """The pictures of an object or an image.

    Attributes:
        truth: Those that are the same for every segmenter, by name.
        predicted: The prediction; None for none.
    """

    truth: Mapping[str, UInt8[np.ndarray, "h w 3"]]
    predicted: UInt8[np.ndarray, "h w 3"] | None = None


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
    segmenters: Mapping[str, Segmenter | EdgeDetector],
    dataset: Dataset,
    chosen: Sequence[ChosenCase],
) -> list[ChosenCase]:
    """Returns cases with pictures, for which their images are predicted once more.

    Args:
        suite: The suite.
        segmenters: The models by name, whose predictions are side by side.
        dataset: The dataset that they are of.
        chosen: The cases.
    """
    wanted = {of.case.image for of in chosen}
    drawn: dict[Case, tuple[np.ndarray, tuple[str, ...]]] = {}
    for sample in _samples(dataset):
        if sample.name not in wanted:
            continue
        for of in chosen:
            if of.case.image == sample.name:
                drawn[of.case] = _draw(suite, segmenters, sample, of.case.index)
        wanted.remove(sample.name)
        if not wanted:
            break
    return [
        of._replace(picture=drawn[of.case][0], panels=drawn[of.case][1])
        if of.case in drawn
        else of
        for of in chosen
    ]


def _samples(dataset: Dataset) -> Iterator[Sample]:
    for index in range(len(dataset)):
        sample = dataset[index]
        if not isinstance(sample, Skipped):
            yield sample


def _draw(
    suite: Suite,
    segmenters: Mapping[str, Segmenter | EdgeDetector],
    sample: Sample,
    index: int | None,
) -> tuple[UInt8[np.ndarray, "h w 3"], tuple[str, ...]]:
    """Returns the truth beside the first predictions of an object or an image."""
    kinds = frozenset.intersection(*(of.prompt_kinds for of in segmenters.values()))
    # The first prompts that all take: a click is not to be compared with a box.
    policies = [policy for policy in suite.policies if policy.kinds <= kinds]
    measurement = suite.measurement._replace(policies=policies)
    panels: dict[str, np.ndarray] = {}
    for name, segmenter in segmenters.items():
        of = _panels(measurement, segmenter, sample, index)
        # What is the same for all is that of the first.
        panels = {**of.truth, **panels}
        if of.predicted is not None:
            panels[name] = of.predicted
    return _beside(*panels.values()), tuple(panels)


def _panels(
    measurement: Measurement,
    segmenter: Segmenter | EdgeDetector,
    sample: Sample,
    index: int | None,
) -> Panels:
    for round in rounds_of(measurement, segmenter, sample):
        if index is None and round.edges is not None:
            truth = np.asarray(sample.truth[BOUNDARIES], float).mean(axis=0)
            both = {"photo": sample.image, "truth": _grey(truth)}
            return Panels(both, _grey(round.edges))
        if index is None and round.detections is not None:
            return _of_detections(sample, round.detections)
        for response in round.responses:
            if response.index == index and response.target is not None:
                return _of_response(sample, response)
    return Panels({"truth": draw_masks(sample.image, sample.targets)})


def _of_response(sample: Sample, response: Response) -> Panels:
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
    predicted = draw_masks(sample.image, response.mask[None], colors=[_PREDICTED])
    return Panels({"truth": true}, predicted)


def _of_detections(sample: Sample, found: Sequence[Detection]) -> Panels:
    """Returns the image with its objects, and with the mask that is nearest to each.

    Both have the colour of the object. Of a thousand masks the others would hide them.
    """
    truth = [entry for entry in annotated_of(sample) if not entry.crowd]
    ious = overlaps(
        [of.mask for of in found],
        [entry.mask for entry in truth],
        np.zeros(len(truth), bool),
    )
    objects = [number for number in range(len(truth)) if ious[:, number].any()]
    nearest = [
        decode_rle(found[int(ious[:, number].argmax())].mask) for number in objects
    ]
    size = sample.image.shape[:2]
    return Panels(
        {"truth": draw_masks(sample.image, sample.targets)},
        draw_masks(
            sample.image,
            np.array(nearest, bool).reshape(len(nearest), *size),
            colors=[mask_color(number) for number in objects],
        ),
    )


def _grey(values: np.ndarray) -> UInt8[np.ndarray, "h w 3"]:
    """Returns values from 0 to 1 as dark lines on white."""
    levels = np.rint(255 * (1 - np.clip(values, 0, 1))).astype(np.uint8)
    return np.repeat(levels[..., None], 3, axis=2)


def _beside(*panels: np.ndarray) -> UInt8[np.ndarray, "h w 3"]:
    """Returns pictures of one size side by side, with a gap."""
    gap = np.full((panels[0].shape[0], 6, 3), 128, np.uint8)
    parts = [part for panel in panels for part in (gap, panel)]
    return np.concatenate(parts[1:], axis=1)
