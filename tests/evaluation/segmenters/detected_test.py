"""Texts answered by boxes: the best instances, their union, clicks, and nothing."""

import numpy as np
import pytest

from samjax.evaluation.segmenter import FixedMasks, Prediction
from samjax.evaluation.segmenters.detected import DetectorSegmenter
from samjax.inference.detectors import FixedBoxes
from samjax.prompts import Prompt

IMAGE = np.zeros((40, 60, 3), np.uint8)
CUP, PLATE, THIRD, FOURTH = (
    (2, 2, 12, 12),
    (30, 5, 50, 25),
    (15, 20, 20, 30),
    (1, 30, 9, 38),
)
BOXES = FixedBoxes(
    {
        "a cup": [(CUP, 0.9), (PLATE, 0.4), (THIRD, 0.6), (FOURTH, 0.3), (CUP, 0.1)],
        "a spoon": [(THIRD, 0.1)],
    }
)


def filled(box):
    mask = np.zeros(IMAGE.shape[:2], bool)
    left, top, right, bottom = (int(side) for side in box)
    mask[top:bottom, left:right] = True
    return mask


class Filling:
    """A model whose mask of a box is the box, and of clicks without one the image."""

    prompt_kinds = frozenset(("points", "box"))

    def __init__(self):
        self.calls = []

    def describe(self):
        return {"name": "filling"}

    def embed(self, image):
        return "embedding"

    def predict(self, embedding, prompts):
        assert embedding == "embedding"
        self.calls.append(list(prompts))
        masks = [
            np.ones(IMAGE.shape[:2], bool) if p.box is None else filled(p.box)
            for p in prompts
        ]
        made = [FixedMasks(mask[None], np.array([0.7])) for mask in masks]
        return [Prediction(mask, mask) for mask in made]


@pytest.fixture
def segmenter():
    return DetectorSegmenter(Filling(), BOXES, {"name": "fixed"})


def predict(segmenter, *prompts):
    return segmenter.predict(segmenter.embed(IMAGE), prompts)


def test_a_text_has_its_best_instances_by_score_and_the_union_of_all(segmenter):
    (found,) = predict(segmenter, Prompt(text="a cup"))
    np.testing.assert_array_equal(
        found.multimask.masks, [filled(CUP), filled(THIRD), filled(PLATE)]
    )
    assert found.multimask.scores.tolist() == [0.9, 0.6, 0.4]
    union = filled(CUP) | filled(PLATE) | filled(THIRD) | filled(FOURTH)
    np.testing.assert_array_equal(found.single.masks, [union])
    assert found.single.scores.tolist() == [0.9]
    assert "text" in segmenter.prompt_kinds
    assert segmenter.describe()["detector"] == {
        "name": "fixed",
        "threshold": 0.2,
        "nms": 0.7,
    }


def test_a_text_that_nothing_fits_has_empty_masks_of_score_0(segmenter):
    for text in ("a spoon", "a dog"):
        (found,) = predict(segmenter, Prompt(text=text))
        for masks in found:
            assert masks.masks.shape == (1, 40, 60) and not masks.masks.any()
            assert masks.scores.tolist() == [0]
    assert not segmenter.segmenter.calls


def test_clicks_choose_the_instance_that_they_are_in_and_refine_it(segmenter):
    found = predict(
        segmenter,
        Prompt(text="a cup", points=[[40, 10], [1, 1]], labels=[1, 0]),
        Prompt(text="a cup", points=[[59, 39]]),
        Prompt(points=[[5, 5]]),
        Prompt(text="a cup"),
    )
    np.testing.assert_array_equal(found[0].single.masks, [filled(PLATE)])
    # In no box: the click counts alone, as a click without a text does.
    assert found[1].single.masks.all() and found[2].single.masks.all()
    assert len(found[3].multimask.masks) == 3
    (asked,) = segmenter.segmenter.calls
    assert len(asked) == 3 + 4 and np.shape(asked[0].points) == (2, 2)
    assert asked[1].box is None and asked[1].text is None
