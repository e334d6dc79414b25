"""Prompts of objects: which masks are scored, where the next click is, what is ignored."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_photo_set import TWO, ColorSegmenter, LateSegmenter, draw, square

from samjax.evaluation.policies.interactive_clicks import (
    PromptProtocol,
    evaluate_image,
    prompt_objects,
)
from samjax.evaluation.segmenter import FixedMasks, Prediction
from samjax.geometry.masks import mask_iou

pytest.importorskip("cv2", reason="simulated clicks need the extra `eval`")

TARGETS = np.stack(TWO)


class Fixed(ColorSegmenter):
    """Predicts the same masks whatever the prompt."""

    def __init__(self, single, three, scores=(0.1, 0.9, 0.5)):
        super().__init__()
        self.single, self.three, self.scores = single, np.stack(three), scores

    def answer(self, image, prompt):
        return Prediction(
            FixedMasks(self.single[None], np.array([0.3]), np.full((1, 4, 4), 2.0)),
            FixedMasks(self.three, np.array(self.scores), np.full((3, 4, 4), 2.0)),
        )


def test_the_truth_scores_one_everywhere_and_is_prompted_once():
    segmenter = ColorSegmenter()
    protocol = PromptProtocol(clicks=(1, 3), thresholds=(0.9,))
    scores = prompt_objects(segmenter, draw(TWO), TARGETS, protocol)
    assert len(scores) == 2
    for of_object in scores:
        assert set(of_object.iou.values()) == {1.0}
        assert of_object.clicks == {0.9: 1}
    assert segmenter.embedded == 1
    # The boxes, then the first clicks: nothing is left to correct.
    assert [len(prompts) for prompts in segmenter.prompts] == [2, 2]


def test_one_click_scores_the_best_ranked_of_three_and_more_the_single_mask():
    target = square(5, 5, 20)
    part, half = square(5, 5, 10), square(5, 5, 15)
    segmenter = Fixed(part, [target, half, square(40, 40, 9)])
    (scores,) = prompt_objects(
        segmenter, draw([target]), target[None], PromptProtocol(clicks=(1, 2))
    )
    assert scores.iou["click_1"] == pytest.approx(15**2 / 20**2)
    assert scores.iou["click_1_oracle"] == 1.0
    assert scores.iou["click_2"] == pytest.approx(10**2 / 20**2)
    assert scores.iou["box"] == scores.iou["click_1"]
    assert scores.iou["box_single"] == scores.iou["click_2"]
    assert scores.iou["box_oracle"] == 1.0
    assert scores.predicted == {
        "box": 0.9,
        "box_single": 0.3,
        "click_1": 0.9,
        "click_2": 0.3,
    }


@given(st.integers(1, 6), st.integers(3, 5))
def test_the_number_of_clicks_is_the_first_that_reaches_the_threshold(needed, most):
    protocol = PromptProtocol(clicks=(1,), thresholds=(0.85, 0.9), max_clicks=most)
    segmenter = LateSegmenter(needed)
    scores = prompt_objects(segmenter, draw(TWO), TARGETS, protocol)
    expected = needed if needed <= most else None
    for of_object in scores:
        assert of_object.clicks == {0.85: expected, 0.9: expected}
        assert of_object.iou["click_1"] == float(needed == 1)
    assert len(segmenter.prompts) == 1 + min(needed, most)


def test_clicks_beyond_the_bound_reach_nothing_though_they_are_scored():
    protocol = PromptProtocol(clicks=(4,), thresholds=(0.9,), max_clicks=2)
    (scores, _) = prompt_objects(LateSegmenter(3), draw(TWO), TARGETS, protocol)
    assert scores.clicks == {0.9: None} and scores.iou["click_4"] == 1.0


def test_ignored_pixels_count_neither_in_the_iou_nor_for_clicks():
    # The right half of the object is unknown; the model finds it, and spills onto it.
    target, ignored = square(10, 10, 20), np.zeros((60, 80), bool)
    ignored[:, 20:] = True
    segmenter = Fixed(target, [target] * 3)
    image, protocol = draw([target]), PromptProtocol(clicks=(1, 2))
    (scores,) = prompt_objects(
        segmenter, image, target[None], protocol, ignored=ignored
    )
    assert set(scores.iou.values()) == {1.0}
    boxes, first = segmenter.prompts
    np.testing.assert_array_equal(boxes[0].box, [10, 10, 19, 29])
    # The centre of the left half, and no second click: what is left is unknown.
    assert first[0].points[0, 0] < 20

    spilled = square(10, 10, 30)
    segmenter = Fixed(spilled, [spilled] * 3)
    (scores,) = prompt_objects(
        segmenter, image, target[None], protocol, ignored=ignored
    )
    known = spilled & ~ignored
    assert scores.iou["click_1"] == pytest.approx(
        mask_iou(known[None], (target & ~ignored)[None])[0, 0]
    )
    *_, second = segmenter.prompts
    x, y = second[0].points[1].astype(int)
    assert second[0].labels[1] == 0 and known[y, x] and not target[y, x]


def test_the_last_logits_are_fed_back_to_models_that_take_masks():
    for kinds, is_fed in ((("points", "mask"), True), (("points",), False)):
        segmenter = LateSegmenter(3)
        segmenter.prompt_kinds = frozenset(kinds)
        evaluate_image(segmenter, draw(TWO), TARGETS, (2,))
        first, second = segmenter.prompts
        assert all(prompt.mask is None for prompt in first)
        assert all((prompt.mask is not None) == is_fed for prompt in second)


def test_a_model_that_takes_boxes_alone_gets_no_clicks():
    segmenter = ColorSegmenter()
    segmenter.prompt_kinds = frozenset(("box",))
    scores = prompt_objects(segmenter, draw(TWO), TARGETS, PromptProtocol())
    assert all(name.startswith("box") for one in scores for name in one.iou)


def test_many_objects_are_scored_in_their_order():
    targets = [square(5 * (i // 8), 10 * (i % 8), 1 + i % 5) for i in range(40)]
    ious = evaluate_image(
        Fixed(targets[0], [targets[20]] * 3), draw(targets), np.stack(targets), (1,)
    )
    expected = mask_iou(np.stack(targets), targets[20][None])[:, 0]
    assert [of_object["click_1"] for of_object in ious] == expected.tolist()


@pytest.mark.parametrize(
    "bad",
    [{"clicks": ()}, {"clicks": (0,)}, {"max_clicks": 0}, {"thresholds": (1.5,)}],
)
def test_senseless_protocols_are_refused(bad):
    with pytest.raises(ValueError, match="expected"):
        PromptProtocol(**bad)
