import jax.numpy as jnp
import numpy as np
import pytest

from samjax.data.synthetic import SceneConfig
from samjax.evaluation.datasets.scenes import evaluate_scenes
from samjax.geometry.frame import Frame
from samjax.inference import ImageEmbedding, Predictor

pytest.importorskip("cv2", reason="simulated clicks need the extra `eval`")

SCENES = SceneConfig(size=64, num_masks=3, min_area=0.01)


class FakePredictor(Predictor):
    """Answers from the truth, which it finds by the clicks; keeps what it is asked.

    Of its four masks the single one is right, the second of three is right but ranked
    second, and the others are empty or everything.
    """

    low_res_size = 64

    def __init__(self):
        object.__setattr__(self, "calls", [])

    def embed(self, image):
        assert image.dtype == np.uint8
        frame = Frame.fit(image.shape[:2], 64)
        return ImageEmbedding(jnp.zeros((1, 1, 1)), frame, "")

    def decode_prompts(self, embeddings, prompts):
        (of_image,) = prompts
        self.calls.append(of_image)
        return [[self.answer(prompt) for prompt in of_image]]

    def answer(self, prompt):
        x, y = np.maximum(prompt.points[0].astype(int), 0)
        truth = np.full((64, 64), -5.0, np.float32)
        truth[y, x] = 5.0
        empty = np.full_like(truth, -5.0)
        scores = np.array([0.0, 0.9, 0.5, 0.1], np.float32)
        return np.stack([truth, empty, truth, -empty]), scores


@pytest.fixture(scope="module")
def report_and_calls():
    predictor = FakePredictor()
    report = evaluate_scenes(
        predictor, num_scenes=3, scenes=SCENES, clicks=(1, 2), show_progress=False
    )
    return report, predictor.calls


def test_scores_are_the_means_over_objects(report_and_calls):
    report, _ = report_and_calls
    assert set(report.scores) == {
        "box",
        "box_oracle",
        "box_single",
        "click_1",
        "click_1_oracle",
        "click_2",
        "click_2_oracle",
    }
    for name, score in report.scores.items():
        assert score == pytest.approx(np.mean([o["iou"][name] for o in report.objects]))


def test_one_click_takes_the_highest_ranked_of_three_and_more_take_the_single_mask(
    report_and_calls,
):
    report, _ = report_and_calls
    for found in report.objects:
        ious, pixel = found["iou"], 1 / found["area"]
        assert ious["click_1"] == 0
        # The best of three covers everything, unless the object is small.
        assert ious["click_1_oracle"] == pytest.approx(
            max(pixel, found["area"] / 64**2)
        )
        assert ious["click_2"] == pytest.approx(pixel)
        assert ious["box"] == 0 and ious["box_single"] <= pixel * 1.001


def test_all_objects_of_a_scene_are_asked_about_at_once(report_and_calls):
    report, calls = report_and_calls
    scenes = {found["scene"] for found in report.objects}
    assert len(calls) == len(scenes) * (1 + 2)
    box, first, second = calls[:3]
    assert [len(prompt.labels) for prompt in box] == [2] * len(box)
    assert all(prompt.mask is None for prompt in first)
    # The second click comes with the mask that the first was answered with.
    assert all((prompt.mask == -5.0).all() for prompt in second)
    assert all(prompt.labels.tolist() == [1, 1, -1] for prompt in second)


def test_the_same_seed_gives_the_same_report():
    reports = [
        evaluate_scenes(
            FakePredictor(),
            num_scenes=2,
            scenes=SCENES,
            clicks=(1,),
            seed=seed,
            show_progress=False,
        )
        for seed in (1, 1, 2)
    ]
    assert reports[0] == reports[1] != reports[2]


def test_a_real_predictor_is_evaluated(tiny_model):
    report = evaluate_scenes(
        Predictor(*tiny_model), num_scenes=1, clicks=(1, 3), show_progress=False
    )
    assert report.objects
    assert all(0 <= score <= 1 for score in report.scores.values())
    assert report.scores["click_1_oracle"] >= report.scores["click_1"]


@pytest.mark.parametrize("bad", [{"clicks": ()}, {"clicks": (0,)}, {"num_scenes": 0}])
def test_senseless_numbers_are_refused(bad):
    with pytest.raises(ValueError, match="at least 1"):
        evaluate_scenes(FakePredictor(), **bad)
