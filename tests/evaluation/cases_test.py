"""Cases of a report: the ends and the middle of the ranking, none twice, with pictures."""

import numpy as np
import pytest
from small_photo_set import TWO, ColorSegmenter, OneSample, sample_of

from samjax.evaluation.cases import choose_cases, draw_cases
from samjax.evaluation.metrics.mask_iou import MaskIou
from samjax.evaluation.metrics.metric import Case
from samjax.evaluation.policies.boxes import Boxes
from samjax.evaluation.suite import Suite, measure


@pytest.mark.parametrize("total", [0, 1, 2, 4, 7, 9, 30])
def test_worst_median_and_best_are_chosen_and_none_twice(total):
    scores = np.random.default_rng(total).permutation(total) / 100
    cases = [Case(score, f"{number}", 0, "IoU") for number, score in enumerate(scores)]
    chosen = choose_cases(cases, 3)
    assert len({of.case for of in chosen}) == len(chosen) == min(total, 9)
    by_kind = {
        kind: [of.case.score for of in chosen if of.kind == kind]
        for kind in ("worst", "median", "best")
    }
    ranked = sorted(scores)
    assert by_kind["worst"] == ranked[:3]
    if total >= 9:
        assert by_kind["best"] == ranked[:-4:-1]
        middle = total // 2
        assert ranked[middle] in by_kind["median"]


def test_pictures_show_truth_and_prediction_of_the_object():
    dataset = OneSample(sample_of(TWO))
    suite = Suite(
        name="test",
        datasets=(dataset,),
        policies=(Boxes(),),
        metrics=(MaskIou(),),
        protocol={},
    )
    images = [measure(suite, ColorSegmenter(), dataset[0])]
    chosen = choose_cases(MaskIou().cases(images))
    assert [of.case.index for of in chosen] == [0, 1]
    drawn = draw_cases(suite, ColorSegmenter(), dataset, chosen)
    width = dataset[0].image.shape[1]
    for of, mask in zip(drawn, TWO, strict=True):
        right = of.picture[:, -width:].astype(int)
        is_changed = (right != dataset[0].image).any(axis=-1)
        assert np.array_equal(is_changed, mask)
        assert of.picture.shape[1] == 2 * width + 6
