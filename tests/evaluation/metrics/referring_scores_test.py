"""Overall IoU and precision, against counts by hand."""

import numpy as np
import pytest

from samjax.evaluation.metrics.metric import ImageRecords
from samjax.evaluation.metrics.referring_scores import ReferringScores


def images(*pixels):
    """Images of one object each, with (intersection, union)."""
    return [
        ImageRecords(
            name=str(number),
            objects=[{"pixels": {"intersection": shared, "union": joined}}],
        )
        for number, (shared, joined) in enumerate(pixels)
    ]


def test_overall_iou_sums_pixels_and_precision_counts_expressions():
    summary = ReferringScores().summarize(images((10, 20), (90, 100), (0, 30)))
    assert summary.scores == {"text_ciou": 100 / 150}
    means = {name: of.mean() for name, of in summary.per_object.items()}
    # 0.5 is reached exactly, and 0.9 too.
    assert means == pytest.approx(
        {
            "text_p50": 2 / 3,
            "text_p60": 1 / 3,
            "text_p70": 1 / 3,
            "text_p80": 1 / 3,
            "text_p90": 1 / 3,
        }
    )
    low, high = summary.details["text_ciou"]
    assert low <= 100 / 150 <= high
    (note,) = ReferringScores().notes(summary.details)
    assert note.startswith("95 % interval of text_ciou: ")


def test_one_image_has_an_interval_of_no_width_and_none_has_no_scores():
    summary = ReferringScores().summarize(images((1, 4)))
    np.testing.assert_allclose(summary.details["text_ciou"], [0.25, 0.25])
    empty = ReferringScores().summarize([ImageRecords(name="a", objects=[{}])])
    assert not empty.scores and not ReferringScores().notes(empty.details)
