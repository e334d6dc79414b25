"""Recall and precision of proposals."""

import numpy as np
import pytest

from samjax.engine.proposer.measuring import (
    ImageScore,
    precision_above,
    ratio_of_recalls,
    score_image,
    summarize,
)


def test_an_object_is_found_once_and_its_second_proposal_is_wrong():
    ious = np.array([[0.9, 0.0], [0.8, 0.3], [0.1, 0.6], [0.2, 0.2]])
    score = score_image(ious)
    assert score.found.tolist() == [True, True]
    assert score.right.tolist() == [True, False, True, False]
    assert score_image(ious, cut=0.7).found.tolist() == [True, False]


def test_images_without_proposals_or_objects_count():
    nothing = score_image(np.zeros((0, 3)))
    assert nothing.found.tolist() == [False] * 3
    assert score_image(np.zeros((2, 0))).right.tolist() == [False, False]
    summary = summarize([nothing, score_image(np.array([[0.9, 0.1, 0.0]]))])
    assert summary["recall"] == pytest.approx(1 / 6)
    assert summary["masks_per_image"] == 0.5


def test_the_ratio_of_recalls_is_paired_by_image():
    scores = [
        ImageScore(np.array([True, True, k % 2 == 0]), np.ones(1, bool))
        for k in range(8)
    ]
    assert ratio_of_recalls(scores, scores) == {"ratio": 1.0, "interval": [1.0, 1.0]}
    none = [score._replace(found=np.zeros(3, bool)) for score in scores]
    assert ratio_of_recalls(scores, none) == {"ratio": None, "interval": None}


def test_precision_above_a_threshold():
    confidences = [np.array([0.9, 0.4]), np.array([0.8])]
    rights = [np.array([True, False]), np.array([False])]
    found = precision_above(confidences, rights, 0.5)
    assert (found["precision"], found["masks_per_image"]) == (0.5, 1.0)
    assert precision_above(confidences, rights, None)["precision"] is None
