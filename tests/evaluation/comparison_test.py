"""Paired differences of segmenters: what is common is not noise, and nothing is invented."""

import json

import numpy as np
import pytest
from small_photo_set import TWO, ColorSegmenter, LateSegmenter, OneSample, sample_of

from samjax.evaluation.comparison import compare
from samjax.evaluation.metrics.mask_iou import MaskIou
from samjax.evaluation.metrics.metric import ImageRecords, Metric, Summary
from samjax.evaluation.policies.interactive_clicks import InteractiveClicks
from samjax.evaluation.suite import Suite, evaluate


def records_of(ious, objects=2):
    """Images with objects of these IoUs, `objects` of them an image."""
    return [
        ImageRecords(
            name=f"{number:03d}",
            objects=[{"iou": {"box": float(iou)}} for iou in part],
            values={"sum": float(part.sum())},
        )
        for number, part in enumerate(np.reshape(ious, (-1, objects)))
    ]


class Total(Metric):
    """A score that is no mean over objects."""

    def summarize(self, images):
        return Summary(scores={"total": sum(image.values["sum"] for image in images)})


METRICS = (MaskIou(), Total())


def compared(first, second, **options):
    options = {"resamples": 2000} | options
    records = {"first": {"set": first}, "second": {"set": second}}
    return compare("test", METRICS, records, **options)


def difference(comparison, score):
    (found,) = (part for part in comparison.differences if part.score == score)
    return found


def test_a_small_difference_is_found_where_images_differ_much(rng):
    hardness = rng.uniform(0, 1, 120)
    easier = np.clip(hardness + 0.01 + 0.01 * rng.standard_normal(120), 0, 1)
    comparison = compared(records_of(hardness), records_of(easier))
    found = difference(comparison, "box")
    assert found.value == pytest.approx(easier.mean() - hardness.mean())
    assert found.is_clear and found.interval[0] < found.value < found.interval[1]
    # Of both alone, the intervals overlap by far.
    assert np.std(hardness) / np.sqrt(60) > 3 * (found.interval[1] - found.interval[0])
    assert (found.of, found.against, found.images) == ("second", "first", 60)


def test_a_segmenter_does_not_differ_from_itself(rng):
    ious = rng.uniform(0, 1, 40)
    comparison = compared(records_of(ious), records_of(ious))
    for part in comparison.differences:
        assert part.value == 0 and part.interval == [0, 0] and not part.is_clear


def test_intervals_of_equal_segmenters_exclude_zero_rarely(rng):
    clear = 0
    for _ in range(200):
        common = rng.uniform(0, 1, 100)
        noise = 0.1 * rng.standard_normal((2, 100))
        comparison = compared(
            *(records_of(common + part) for part in noise),
            resamples=500,
            slow_resamples=2,
        )
        clear += difference(comparison, "box").is_clear
    # Nominal 10 of 200; at 50 images it covers a little less.
    assert 2 <= clear <= 24


def test_scores_that_are_no_means_are_drawn_from_the_records(rng):
    ious = rng.uniform(0, 1, 60)
    comparison = compared(records_of(ious), records_of(ious + 0.1))
    # In the order of the scores, in every run.
    assert [part.score for part in comparison.differences] == ["box", "total"]
    found = difference(comparison, "total")
    assert found.value == pytest.approx(6.0) and found.resamples == 200
    # Every draw has as many images, each with the same difference.
    assert found.interval == pytest.approx([6.0, 6.0])


def test_only_images_that_all_were_scored_on_count(rng):
    ious = rng.uniform(0, 1, 20)
    all_images = records_of(ious)
    comparison = compared(all_images, records_of(ious)[3:])
    assert {part.images for part in comparison.differences} == {7}
    assert comparison.scores["first"]["box"] == pytest.approx(ious[6:].mean())
    with pytest.raises(ValueError, match="no image that all"):
        compared(all_images, [])
    with pytest.raises(ValueError, match="same objects"):
        compared(all_images, records_of(ious, objects=4)[:5])
    with pytest.raises(ValueError, match="at least two"):
        compare("test", METRICS, {"one": {"set": all_images}})


def test_the_records_of_evaluations_are_compared_and_written(tmp_path):
    suite = Suite(
        name="test",
        datasets=(OneSample(sample_of(TWO)),),
        policies=(InteractiveClicks(counts=(1, 2)),),
        metrics=(MaskIou(),),
        protocol={},
    )
    records = {"late": {}, "color": {}}
    for name, segmenter in (("late", LateSegmenter(2)), ("color", ColorSegmenter())):
        evaluate(suite, segmenter, on_records=records[name].__setitem__)
    comparison = compare(suite.name, suite.metrics, records, resamples=50)
    assert difference(comparison, "click_1").value == 1.0
    assert difference(comparison, "click_2").value == 0.0
    lines = comparison.table().splitlines()
    assert lines[0].split()[:4] == ["score", "late", "color", "difference"]
    assert "+1.000" in next(line for line in lines if line.startswith("click_1 "))
    comparison.save(tmp_path / "comparison.json")
    content = json.loads((tmp_path / "comparison.json").read_text())
    assert content["scores"]["color"]["click_1"] == 1.0
    assert content["differences"][0]["against"] == "late"
