"""Scores on drawn scenes."""

import numpy as np
import pytest

from samjax.data.synthetic import SceneConfig
from samjax.evaluation.datasets.scenes import DrawnScenes
from samjax.evaluation.segmenter import FixedMasks, Prediction, PredictorSegmenter
from samjax.evaluation.suite import evaluate
from samjax.evaluation.suites.single_point import scene_suite
from samjax.inference import Predictor

pytest.importorskip("cv2", reason="simulated clicks need the extra `eval`")

SCENES = SceneConfig(size=64, num_masks=8)


class PixelSegmenter:
    """Predicts the pixel of the first point, or of the box's corner, and keeps prompts.

    The single mask is that pixel; of the three masks the first is empty and ranked
    first, the second that pixel, the third all pixels.
    """

    prompt_kinds = frozenset(("points", "box", "mask"))

    def __init__(self):
        self.calls = []

    def describe(self):
        raise AssertionError("scores alone need no description")

    def embed(self, image):
        assert image.dtype == np.uint8
        return image.shape[:2]

    def predict(self, embedding, prompts):
        self.calls.append(list(prompts))
        return [self.masks(embedding, prompt) for prompt in prompts]

    def masks(self, size, prompt):
        x, y = (prompt.points[0] if prompt.box is None else prompt.box[:2]).astype(int)
        pixel, empty = np.zeros(size, bool), np.zeros(size, bool)
        pixel[y, x] = True
        logits = np.full((3, 16, 16), -5.0)
        return Prediction(
            FixedMasks(pixel[None], np.array([0.0]), logits[:1]),
            FixedMasks(
                np.stack([empty, pixel, ~empty]), np.array([0.9, 0.5, 0.1]), logits
            ),
        )


@pytest.fixture(scope="module")
def result_and_calls():
    segmenter = PixelSegmenter()
    result = evaluate(scene_suite(3, 64, clicks=(1, 2)), segmenter)
    return result, segmenter.calls


def test_scores_are_the_means_over_objects(result_and_calls):
    result, _ = result_and_calls
    assert list(result.scores) == [
        *("box", "box_oracle", "box_single"),
        *("click_1", "click_1_oracle", "click_2", "click_2_oracle"),
    ]
    (only,) = result.sets
    for name, score in result.scores.items():
        ious = [record["iou"][name] for record in only.objects]
        assert score == pytest.approx(np.mean(ious))
    assert only.name == "3 drawn scenes" and not result.intervals


def test_one_click_takes_the_highest_ranked_of_three_and_more_take_the_single_mask(
    result_and_calls,
):
    result, _ = result_and_calls
    for record in result.sets[0].objects:
        ious, pixel = record["iou"], 1 / record["area"]
        assert ious["click_1"] == 0
        # The best of three covers everything, unless the object is small.
        assert ious["click_1_oracle"] == pytest.approx(
            max(pixel, record["area"] / 64**2)
        )
        assert ious["click_2"] == pytest.approx(pixel)
        assert ious["box"] == 0 and ious["box_single"] <= pixel * 1.001


def test_all_objects_of_a_scene_are_prompted_together(result_and_calls):
    result, calls = result_and_calls
    scenes = {record["scene"] for record in result.sets[0].objects}
    assert len(calls) == len(scenes) * (1 + 2)
    box, first, second = calls[:3]
    assert all(prompt.box is not None for prompt in box)
    assert all(prompt.mask is None for prompt in first)
    # The second click comes with the logits of the first click's mask.
    assert all((prompt.mask == -5.0).all() for prompt in second)
    assert all(prompt.labels.tolist() == [1, 1] for prompt in second)


def test_scenes_depend_on_the_seed_and_the_index_alone():
    first, again, other = (
        DrawnScenes(count=2, seed=seed, scenes=SCENES) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first[1].image, again[1].image)
    np.testing.assert_array_equal(first[1].targets, again[1].targets)
    assert (first[1].image != other[1].image).any()
    assert (first[1].image != first[0].image).any()


def test_a_real_predictor_is_evaluated(tiny_model):
    segmenter = PredictorSegmenter(Predictor(*tiny_model))
    result = evaluate(scene_suite(1, 64, clicks=(1, 3)), segmenter)
    assert result.sets[0].objects
    assert all(0 <= score <= 1 for score in result.scores.values())
    assert result.scores["click_1_oracle"] >= result.scores["click_1"]


@pytest.mark.parametrize("bad", [{"clicks": ()}, {"clicks": (0,)}, {"count": 0}])
def test_numbers_below_one_are_refused(bad):
    with pytest.raises(ValueError, match="at least 1"):
        scene_suite(bad.pop("count", 1), 64, **bad)
