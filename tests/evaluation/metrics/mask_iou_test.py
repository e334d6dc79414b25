"""Names of scores, and the records that they are means of."""

import pytest
from small_photo_set import TWO, ColorSegmenter, OneSample, sample_of

from samjax.evaluation.metrics.mask_iou import MaskIou, short_name
from samjax.evaluation.policies.boxes import Boxes
from samjax.evaluation.suite import Suite, measure


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("click_1", "1"),
        ("click_13", "13"),
        ("click_1_oracle", "oracle"),
        ("click_13_oracle", "oracle_13"),
        ("box", "box"),
        ("box_oracle", "box_oracle"),
        ("grid", "grid"),
    ],
)
def test_clicks_have_short_names(name, short):
    assert short_name(name) == short


@pytest.mark.parametrize("predicted", [True, False])
def test_scores_are_means_over_the_objects_of_all_images(predicted):
    metric = MaskIou(rename=str.upper, predicted=predicted)
    sample = sample_of(TWO)
    suite = Suite(
        name="test",
        datasets=(OneSample(sample),),
        policies=(Boxes(),),
        metrics=(metric,),
        protocol={},
    )
    images = [measure(suite, ColorSegmenter(), sample) for _ in range(2)]
    images[0].objects[0]["iou"]["BOX"] = 0.5
    summary = metric.summarize(images)
    assert summary.per_object["BOX"].tolist() == [0.5, 1.0, 1.0, 1.0]
    assert set(summary.per_object) == {"BOX", "BOX_ORACLE", "BOX_SINGLE"}
    assert all(("predicted" in record) == predicted for record in images[0].objects)
