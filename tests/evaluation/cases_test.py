"""Cases of a report: the ends and the middle of the ranking, none twice, with pictures."""

import numpy as np
import pytest
from small_photo_set import SIZE, TWO, ColorSegmenter, OneSample, sample_of
from small_suites import SUITES

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
    drawn = draw_cases(suite, {"color": ColorSegmenter()}, dataset, chosen)
    width = dataset[0].image.shape[1]
    for of, mask in zip(drawn, TWO, strict=True):
        right = of.picture[:, -width:].astype(int)
        is_changed = (right != dataset[0].image).any(axis=-1)
        assert np.array_equal(is_changed, mask)
        assert of.picture.shape[1] == 2 * width + 6


@pytest.mark.parametrize(
    ("name", "panels"),
    [
        ("edges", ("photo", "truth", "prediction")),
        ("proposals", ("truth", "prediction")),
    ],
)
def test_suites_without_scored_objects_show_truth_and_prediction(
    name, panels, tmp_path
):
    pytest.importorskip("cv2")
    pytest.importorskip("pycocotools")
    case = SUITES[name]
    suite = case.open(tmp_path)
    dataset = suite.datasets[0]
    images = [
        measure(suite, case.segmenter(), dataset[index])
        for index in range(len(dataset))
    ]
    chosen = choose_cases(suite.metrics[0].cases(images))
    drawn = draw_cases(suite, {"prediction": case.segmenter()}, dataset, chosen)
    assert len(drawn) == len(dataset)
    for of in drawn:
        assert of.panels == panels and of.case.index is None
        width = (of.picture.shape[1] + 6) // len(panels)
        first, *others = (
            of.picture[:, width * number : width * number + width - 6]
            for number in range(len(panels))
        )
        assert all(not np.array_equal(first, other) for other in others)


def test_the_nearest_mask_has_the_colour_of_its_object(tmp_path):
    pytest.importorskip("pycocotools")
    suite = SUITES["proposals"].open(tmp_path)
    (sample,) = (suite.datasets[0][0],)
    images = [measure(suite, ColorSegmenter(), sample)]
    chosen = choose_cases(suite.metrics[0].cases(images))
    (of,) = draw_cases(
        suite, {"prediction": ColorSegmenter()}, suite.datasets[0], chosen
    )
    assert of.case.score == 1.0
    width = SIZE[1]
    # All objects are found, so that both panels are the same.
    assert np.array_equal(of.picture[:, :width], of.picture[:, -width:])
