"""Ground-truth boxes as prompts."""

import numpy as np
import pytest
from small_photo_set import (
    TWO,
    ColorSegmenter,
    records_of,
    rounds_of,
    sample_of,
    square,
)

from samjax.evaluation.policies.boxes import Boxes
from samjax.evaluation.segmenter import FixedMasks, Prediction


class Parts(ColorSegmenter):
    """Ranks a part first and has the whole among its three masks; half as the single."""

    def masks(self, image, prompt):
        whole, part, half = square(5, 5, 20), square(5, 5, 10), square(5, 5, 15)
        three = np.stack([whole, part, square(40, 40, 9)])
        return Prediction(
            FixedMasks(half[None], np.array([0.3])),
            FixedMasks(three, np.array([0.1, 0.9, 0.5])),
        )


def test_a_box_is_scored_by_rank_by_the_oracle_and_by_the_single_mask():
    (record,) = records_of(Parts(), sample_of([square(5, 5, 20)]), Boxes())
    assert record["iou"] == {
        "box": pytest.approx(0.25),
        "box_oracle": 1.0,
        "box_single": pytest.approx(15**2 / 20**2),
    }
    assert record["predicted"] == {"box": 0.9, "box_single": 0.3}


def test_a_segmenter_of_one_mask_has_one_score():
    class Single(ColorSegmenter):
        def masks(self, image, prompt):
            only = FixedMasks(self.truth(image, prompt)[None])
            return Prediction(only, only)

    for record in records_of(Single(), sample_of(TWO), Boxes()):
        assert record == {"iou": {"box": 1.0}, "predicted": {}}


def test_boxes_are_tight_and_leave_out_ignored_pixels():
    ignored = np.zeros((60, 80), bool)
    ignored[:, 20:] = True
    sample = sample_of([square(10, 10, 20)], ignored)
    rounds = rounds_of(Boxes(), ColorSegmenter(), sample)
    np.testing.assert_array_equal(rounds[0].responses[0].prompt.box, [10, 10, 19, 29])


def test_objects_keep_their_order_over_several_calls():
    masks = [square(5 * (i // 8), 10 * (i % 8), 1 + i % 5) for i in range(20)]
    rounds = rounds_of(Boxes(), Parts(), sample_of(masks))
    indices = [r.index for one in rounds if one.name == "box" for r in one.responses]
    assert indices == list(range(20))
