"""Scores of texts of what is not in the image."""

import itertools

import numpy as np
import pytest

from samjax.evaluation.datasets.dataset import Sample
from samjax.evaluation.metrics.metric import ImageRecords
from samjax.evaluation.metrics.presence import Presence, auroc
from samjax.evaluation.policies.policy import Response, Round
from samjax.evaluation.segmenter import FixedMasks, Prediction
from samjax.prompts import Prompt

MASK = np.ones((1, 2, 2), bool)


def test_the_auroc_is_that_of_all_pairs():
    generator = np.random.default_rng(0)
    for sizes in ((1, 1), (7, 3), (20, 30)):
        higher, lower = (generator.integers(0, 6, n) / 5 for n in sizes)
        pairs = [(a > b) + (a == b) / 2 for a, b in itertools.product(higher, lower)]
        assert auroc(higher, lower) == pytest.approx(np.mean(pairs))


def observed(metric, scores, masks=MASK):
    """Records of objects with the given predicted IoUs of text and absent phrase."""
    sample = Sample(
        name="a",
        image=np.zeros((2, 2, 3), np.uint8),
        targets=np.ones((len(scores), 2, 2), bool),
        objects=[{} for _ in scores],
    )
    records = ImageRecords(name="a", objects=[{} for _ in scores])
    for column, name in enumerate(("text", "absent", "wrong_text")):
        responses = []
        for index, row in enumerate(scores):
            if column < len(row):
                score = None if row[column] is None else np.array([row[column]])
                made = FixedMasks(masks, score)
                found = Prediction(made, made)
                responses.append(Response(index, Prompt(), found, True))
        metric.observe(Round(name, responses, is_scored=False), sample, records)
    return records


def test_answers_to_absent_phrases_are_counted_from_the_threshold_on():
    metric = Presence(threshold=0.5)
    records = observed(metric, [(0.9, 0.5, 1.0), (0.4, 0.2, 1.0), (0.8, 0.49, 1.0)])
    summary = metric.summarize([records])
    assert summary.per_object["present_tp"].tolist() == [1, 0, 1]
    assert summary.per_object["absent_fp"].tolist() == [1, 0, 0]
    assert summary.scores["presence_auroc"] == pytest.approx(7 / 9)


def test_an_empty_mask_finds_nothing_whatever_its_score():
    records = observed(Presence(), [(0.9, 0.9)], np.zeros((1, 2, 2), bool))
    summary = Presence().summarize([records])
    assert summary.per_object["absent_fp"].tolist() == [0]


def test_objects_without_an_absent_phrase_are_not_counted():
    records = observed(Presence(), [(0.9, 0.1), (0.9,)])
    summary = Presence().summarize([records])
    np.testing.assert_array_equal(summary.per_object["present_tp"], [1, np.nan])
    # Nor models that predict no IoU.
    for scores in ([(0.9,)], [(None, None)]):
        assert not Presence().summarize([observed(Presence(), scores)]).scores
