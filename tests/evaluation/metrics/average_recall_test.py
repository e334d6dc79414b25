"""AR@K against pycocotools without categories, and its other matchings by hand."""

import contextlib
import io
import itertools

import numpy as np
import pytest
from drawn_detections import CATEGORIES, coco_evaluation, drawn_images

from samjax.evaluation.detections import overlaps
from samjax.evaluation.metrics.average_recall import recall_of_objects
from samjax.evaluation.metrics.detection_matching import (
    AREA_BANDS,
    IOU_THRESHOLDS,
    in_band,
)

pytest.importorskip("pycocotools", reason="AR needs the extra `eval`")


def recalls_of(truth, detections, counts, matching="greedy"):
    """Shares of thresholds (a, k, g) of the objects of an image, and their bands."""
    objects = [entry for entry in truth if not entry.crowd]
    ranked = sorted(detections, key=lambda found: -found.score)
    ious = overlaps(
        [found.mask for found in ranked],
        [entry.mask for entry in objects],
        np.zeros(len(objects), bool),
    )
    areas = np.array([entry.area for entry in objects], float)
    groups = np.array([in_band(areas, band) for band in AREA_BANDS.values()])
    groups = groups.reshape(4, len(objects))
    return recall_of_objects(ious, groups, counts, matching=matching), groups


@pytest.mark.parametrize("seed", range(4))
def test_recall_is_that_of_pycocotools_without_categories(seed):
    images = drawn_images(seed)
    counts = [1, 5, 1000]
    evaluation = coco_evaluation(images, counts)
    evaluation.params.useCats = 0
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.evaluate()
        evaluation.accumulate()
    theirs = evaluation.eval["recall"][:, 0].mean(axis=0)
    shares, groups = [], []
    for truth, detections in images:
        # pycocotools pools detections category by category, which orders equal scores.
        pooled = [
            found
            for category in CATEGORIES
            for found in detections
            if found.category == category
        ]
        of_image, of_groups = recalls_of(truth, pooled, counts)
        shares.append(of_image)
        groups.append(of_groups)
    shares, groups = np.concatenate(shares, axis=2), np.concatenate(groups, axis=1)
    for band, k in itertools.product(range(4), range(3)):
        ours = shares[band, k, groups[band]].mean()
        assert ours == pytest.approx(theirs[band, k], abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_optimal_and_best_are_what_their_names_say(seed):
    rng = np.random.default_rng(seed)
    ious = rng.random((5, 4))
    groups = np.array([[True] * 4, [True, False, True, True]])
    optimal = recall_of_objects(ious, groups, [5], matching="optimal")
    best = recall_of_objects(ious, groups, [5, 2], matching="best")
    for row, group in enumerate(groups):
        objects = np.flatnonzero(group)
        most = [
            max(
                sum(ious[d, g] >= t for d, g in zip(order, objects, strict=True))
                for order in itertools.permutations(range(5), len(objects))
            )
            for t in IOU_THRESHOLDS
        ]
        assert optimal[row, 0].sum() == pytest.approx(np.mean(most))
        for k, count in enumerate((5, 2)):
            reached = (ious[:count].max(axis=0) >= IOU_THRESHOLDS[:, None]).mean(axis=0)
            np.testing.assert_allclose(best[row, k], reached * group)
    greedy = recall_of_objects(ious, groups, [5])
    assert greedy[0].sum() <= optimal[0].sum() <= best[0, 0].sum()


def test_without_proposals_or_objects_nothing_is_recalled():
    assert not recall_of_objects(np.zeros((0, 3)), np.ones((1, 3), bool), [10]).any()
    assert recall_of_objects(np.zeros((4, 0)), np.ones((1, 0), bool), [10]).size == 0
