"""The simulated annotator: its masks, its clicks and the time that they take."""

import dataclasses

import numpy as np
import pytest

from samjax.engine.simulation.annotator import AnnotatorConfig, annotate
from samjax.engine.simulation.proposals import review
from samjax.engine.simulation.times import ActionTimes
from samjax.evaluation.segmenter import FixedMasks, Prediction
from samjax.geometry.masks import mask_iou

SIZE = (40, 60)
EXACT = AnnotatorConfig(jitter=0.0, judgement=0.0)


def box(left, top, right, bottom):
    mask = np.zeros(SIZE, bool)
    mask[top:bottom, left:right] = True
    return mask


TARGETS = [box(2, 2, 22, 18), box(30, 5, 58, 35), box(5, 24, 25, 38)]


class Answers:
    """A segmenter whose answer is a function of the clicked object and the clicks."""

    prompt_kinds = frozenset(("points", "box", "mask"))

    def __init__(self, answer):
        self.answer = answer
        self.prompts = []

    def describe(self):
        return {}

    def embed(self, image):
        return None

    def predict(self, embedding, prompts):
        self.prompts.append(list(prompts))
        return [self._prediction(prompt) for prompt in prompts]

    def _prediction(self, prompt):
        (x, y), clicks = prompt.points[0], len(prompt.points)
        target = next(t for t in TARGETS if t[int(y), int(x)])
        masks = np.stack(self.answer(target, clicks))
        scores = np.linspace(0.9, 0.5, len(masks))
        found = FixedMasks(masks, scores, np.zeros((len(masks), 8, 8), np.float32))
        single = FixedMasks(found.masks[:1], found.scores[:1], found.logits[:1])
        return Prediction(single, found)


def made(answer, config=EXACT, seed=0, targets=TARGETS):
    segmenter = Answers(answer)
    rng = np.random.default_rng(seed)
    return annotate(segmenter, None, targets, rng, config), segmenter


def test_a_right_mask_takes_one_click_and_a_key():
    masks, segmenter = made(lambda target, clicks: [target])
    assert [mask.target for mask in masks] == [1, 0, 2], "from large to small"
    for mask in masks:
        assert (mask.clicks, mask.cycles, mask.brushed, mask.iou) == (1, 0, 0, 1.0)
        assert mask.seconds == pytest.approx(3.0 + 1.35 + 1.10 + 0.20 + 0.60 + 0.28)
    assert [len(prompts) for prompts in segmenter.prompts] == [3], "one call for all"


def test_a_useless_model_leaves_the_work_to_the_brush():
    config = dataclasses.replace(EXACT, patience=1e9)
    masks, segmenter = made(lambda target, clicks: [~target], config)
    times = ActionTimes()
    for mask in masks:
        target = TARGETS[mask.target]
        assert mask.clicks == config.max_clicks and mask.brushed == target.size
        assert (mask.mask == target).all() and mask.iou == 1.0
        expected = 3.0 + 8 * times.click + 0.88 + 2.0 + 0.11 * target.size**0.5
        assert mask.seconds == pytest.approx(expected)
    assert len(segmenter.prompts) == config.max_clicks
    assert segmenter.prompts[-1][0].mask is not None, "the last logits are a prompt"


def test_the_brush_is_taken_when_patience_ends():
    # 3 + 2.65 n + 0.88 passes 10 with the third click.
    config = dataclasses.replace(EXACT, patience=10.0)
    masks, _ = made(lambda target, clicks: [~target], config)
    assert {mask.clicks for mask in masks} == {3}


def test_the_best_of_three_masks_is_chosen_by_keys():
    masks, _ = made(lambda target, clicks: [~target, ~target, target])
    assert {(mask.clicks, mask.cycles, mask.iou) for mask in masks} == {(1, 2, 1.0)}
    masks, _ = made(lambda target, clicks: [target, ~target, target])
    assert {mask.cycles for mask in masks} == {0}


def test_later_clicks_correct_the_mask():
    def half(target, clicks):
        shown = target.copy()
        if clicks == 1:
            shown[:, : int(np.flatnonzero(target.any(0)).mean())] = False
        return [shown]

    masks, segmenter = made(half)
    assert {mask.clicks for mask in masks} == {2}
    for mask in masks:
        x, y = mask.points[1]
        assert mask.labels == [1, 1] and TARGETS[mask.target][y, x]
        assert mask.first_iou is not None and mask.first_iou < 0.7 < mask.iou
    assert len(segmenter.prompts) == 2


def test_time_for_an_image_ends():
    config = dataclasses.replace(EXACT, seconds_per_image=10.0)
    masks, _ = made(lambda target, clicks: [target], config)
    assert [mask.target for mask in masks] == [1, 0], "the second begins before the end"


def test_small_objects_are_left_out_half_of_the_time():
    small = [box(0, 0, 3, 3)] * 200
    config = dataclasses.replace(EXACT, seconds_per_image=1e9)
    rng = np.random.default_rng(0)
    segmenter = Answers(lambda target, clicks: [small[0]])
    segmenter._prediction = lambda prompt: Prediction(
        *(FixedMasks(small[0][None]) for _ in range(2))
    )
    assert 70 < len(annotate(segmenter, None, small, rng, config)) < 130


def test_clicks_are_imprecise_and_stay_on_their_side():
    config = dataclasses.replace(EXACT, jitter=3.0)
    points = set()
    for seed in range(20):
        masks, _ = made(lambda target, clicks: [target], config, seed)
        for mask in masks:
            x, y = mask.points[0]
            assert TARGETS[mask.target][y, x]
        points.add(masks[0].points[0])
    assert len(points) > 10


def test_the_same_seed_makes_the_same_masks():
    def fuzzy(target, clicks):
        return [np.roll(target, clicks % 3, axis=1)]

    config = AnnotatorConfig()
    first, again, other = (made(fuzzy, config, seed)[0] for seed in (1, 1, 2))
    assert [mask.points for mask in first] == [mask.points for mask in again]
    assert [mask.points for mask in first] != [mask.points for mask in other]


def test_a_proposal_is_taken_if_it_is_an_object_without_a_mask():
    near = np.roll(TARGETS[0], 1, axis=0)
    config = dataclasses.replace(EXACT, goal=0.8)
    proposals = [near, TARGETS[0], ~TARGETS[0], TARGETS[2]]
    rng = np.random.default_rng(0)
    taken, shown = review(proposals, TARGETS, rng, config)
    assert shown == 4 and [mask.target for mask in taken] == [0, 2]
    assert (taken[0].mask == near).all()
    assert taken[0].iou == pytest.approx(mask_iou(near[None], TARGETS[0][None])[0, 0])
    assert review([], TARGETS, rng, config) == ([], 0)
