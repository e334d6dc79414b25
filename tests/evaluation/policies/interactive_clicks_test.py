"""Interactive clicks: the scored mask, the place of the next click, the stopping rule."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_photo_set import (
    SIZE,
    TWO,
    ColorSegmenter,
    LateSegmenter,
    records_of,
    rounds_of,
    sample_of,
    square,
)

from samjax.evaluation.policies.interactive_clicks import InteractiveClicks
from samjax.evaluation.segmenter import FixedMasks, Prediction
from samjax.geometry.masks import mask_iou

pytest.importorskip("cv2", reason="simulated clicks need the extra `eval`")


class Fixed(ColorSegmenter):
    """Predicts the same masks for every prompt."""

    def __init__(self, single, three, scores=(0.1, 0.9, 0.5)):
        super().__init__()
        self.single, self.three, self.scores = single, np.stack(three), scores

    def masks(self, image, prompt):
        return Prediction(
            FixedMasks(self.single[None], np.array([0.3]), np.full((1, 4, 4), 2.0)),
            FixedMasks(self.three, np.array(self.scores), np.full((3, 4, 4), 2.0)),
        )


def test_a_correct_mask_ends_the_clicks_and_is_scored_at_every_count():
    segmenter = ColorSegmenter()
    clicks = InteractiveClicks(counts=(1, 3), until=0.9)
    records = records_of(segmenter, sample_of(TWO), clicks, thresholds=(0.9,))
    for record in records:
        assert record["iou"] == dict.fromkeys(
            ("click_1", "click_1_oracle", "click_3", "click_3_oracle"), 1.0
        )
        assert record["clicks"] == {"0.90": 1}
    assert segmenter.embedded == 1
    assert [len(prompts) for prompts in segmenter.prompts] == [2]


def test_one_click_scores_the_best_ranked_of_three_and_more_the_single_mask():
    target = square(5, 5, 20)
    part, half = square(5, 5, 10), square(5, 5, 15)
    segmenter = Fixed(part, [target, half, square(40, 40, 9)])
    (record,) = records_of(
        segmenter, sample_of([target]), InteractiveClicks(counts=(1, 2))
    )
    assert record["iou"]["click_1"] == pytest.approx(15**2 / 20**2)
    assert record["iou"]["click_1_oracle"] == 1.0
    assert record["iou"]["click_2"] == pytest.approx(10**2 / 20**2)
    assert record["iou"]["click_2_oracle"] == 1.0
    assert record["predicted"] == {"click_1": 0.9, "click_2": 0.3}


@given(st.integers(1, 6), st.integers(3, 5))
def test_clicks_go_on_until_the_iou_or_the_bound_is_reached(needed, most):
    clicks = InteractiveClicks(counts=(1,), until=0.9, max_clicks=most)
    segmenter = LateSegmenter(needed)
    records = records_of(
        segmenter, sample_of(TWO), clicks, thresholds=(0.85, 0.9), max_clicks=most
    )
    expected = needed if needed <= most else None
    for record in records:
        assert record["clicks"] == {"0.85": expected, "0.90": expected}
        assert record["iou"]["click_1"] == float(needed == 1)
        assert set(record["iou"]) == {"click_1", "click_1_oracle"}
    assert len(segmenter.prompts) == min(needed, most)


@pytest.mark.parametrize(("until", "calls"), [(0.8, 1), (0.9, 4)])
def test_clicks_end_at_the_iou_though_the_mask_has_errors_left(until, calls):
    target, mask = square(5, 5, 20), square(5, 5, 18)
    segmenter = Fixed(mask, [mask] * 3)
    clicks = InteractiveClicks(counts=(1,), until=until, max_clicks=4)
    rounds_of(clicks, segmenter, sample_of([target]))
    assert len(segmenter.prompts) == calls


def test_clicks_beyond_the_bound_are_scored_and_not_counted():
    clicks = InteractiveClicks(counts=(4,), until=0.9, max_clicks=2)
    record, _ = records_of(
        LateSegmenter(3), sample_of(TWO), clicks, thresholds=(0.9,), max_clicks=2
    )
    assert record["clicks"] == {"0.90": None} and record["iou"]["click_4"] == 1.0


def test_ignored_pixels_count_neither_in_the_iou_nor_for_clicks():
    # The right half of the object is unknown; the mask covers it, and spills onto it.
    target, ignored = square(10, 10, 20), np.zeros((60, 80), bool)
    ignored[:, 20:] = True
    sample, clicks = sample_of([target], ignored), InteractiveClicks(counts=(1, 2))
    segmenter = Fixed(target, [target] * 3)
    (record,) = records_of(segmenter, sample, clicks)
    assert set(record["iou"].values()) == {1.0}
    # The centre of the left half, and no second click: the rest is unknown.
    (first,) = segmenter.prompts
    assert first[0].points[0, 0] < 20

    spilled = square(10, 10, 30)
    segmenter = Fixed(spilled, [spilled] * 3)
    (record,) = records_of(segmenter, sample, clicks)
    known = spilled & ~ignored
    assert record["iou"]["click_1"] == pytest.approx(
        mask_iou(known[None], (target & ~ignored)[None])[0, 0]
    )
    _, second = segmenter.prompts
    x, y = second[0].points[1].astype(int)
    assert second[0].labels[1] == 0 and known[y, x] and not target[y, x]


def test_the_last_logits_are_fed_back_to_segmenters_that_take_masks():
    for kinds, is_fed in ((("points", "mask"), True), (("points",), False)):
        segmenter = LateSegmenter(3)
        segmenter.prompt_kinds = frozenset(kinds)
        rounds_of(InteractiveClicks(counts=(2,)), segmenter, sample_of(TWO))
        first, second = segmenter.prompts
        assert all(prompt.mask is None for prompt in first)
        assert all((prompt.mask is not None) == is_fed for prompt in second)


def test_many_objects_are_scored_in_their_order_in_calls_of_sixteen():
    targets = [square(5 * (i // 8), 10 * (i % 8), 1 + i % 5) for i in range(40)]
    segmenter = Fixed(targets[0], [targets[20]] * 3)
    records = records_of(segmenter, sample_of(targets), InteractiveClicks(counts=(1,)))
    expected = mask_iou(np.stack(targets), targets[20][None])[:, 0]
    assert [record["iou"]["click_1"] for record in records] == expected.tolist()
    assert [len(prompts) for prompts in segmenter.prompts] == [16, 16, 8]


@pytest.mark.parametrize(
    "bad", [{"counts": ()}, {"counts": (0,)}, {"max_clicks": 0}, {"until": 1.5}]
)
def test_impossible_policies_are_refused(bad):
    with pytest.raises(ValueError, match="expected"):
        InteractiveClicks(**bad)


def test_random_first_clicks_are_anywhere_on_the_object_and_repeatable():
    target = np.zeros(SIZE, bool)
    target[10:30, 10:70] = True
    target[15:20, 20:60] = False
    clicks = []
    for seed in range(200):
        segmenter = ColorSegmenter()
        policy = InteractiveClicks(counts=(1,), first="random", seed=seed)
        rounds_of(policy, segmenter, sample_of([target]))
        ((prompt,),) = segmenter.prompts
        clicks.append(tuple(prompt.points[0].astype(int)))
    assert all(target[y, x] for x, y in clicks)
    # All parts of the object are clicked on about as often as they are large.
    left = np.mean([x < 20 for x, _ in clicks])
    assert left == pytest.approx(target[:, :20].sum() / target.sum(), abs=0.1)
    again = ColorSegmenter()
    rounds_of(
        InteractiveClicks(counts=(1,), first="random", seed=7),
        again,
        sample_of([target]),
    )
    assert tuple(again.prompts[0][0].points[0].astype(int)) == clicks[7]
