"""Recorded predictions give the scores of the model without it."""

import numpy as np
import pytest
from detection_set_files import write_coco
from small_photo_set import ColorSegmenter, LateSegmenter

from samjax.evaluation.segmenter import Segmenter
from samjax.evaluation.segmenters.recorded import RecordedPredictions, Recorder
from samjax.evaluation.suite import evaluate
from samjax.evaluation.suites.instances import Instances
from samjax.evaluation.suites.single_point import SinglePoint


def recorded(suite, segmenter, file):
    """The result of a segmenter, whose predictions are recorded."""
    with open(file, "wb") as lines:
        recorder = Recorder(segmenter, lines.write)
        assert isinstance(recorder, Segmenter)
        return evaluate(suite, recorder)


@pytest.mark.parametrize("segmenter", [ColorSegmenter(), LateSegmenter(3)])
def test_clicks_that_correct_the_last_mask_find_their_predictions(segmenter, tmp_path):
    pytest.importorskip("cv2")
    folder = write_coco(tmp_path / "set")
    suite = SinglePoint(clicks=(1, 3, 5), min_area=1).make([folder], None)
    first = recorded(suite, segmenter, tmp_path / "predictions.jsonl")
    segmenter = RecordedPredictions(tmp_path / "predictions.jsonl")
    again = evaluate(suite, segmenter)
    assert again.scores == first.scores and again.intervals == first.intervals
    assert again.sets[0].objects == first.sets[0].objects
    assert (
        again.model["name"] == "color" and len(again.model["recorded"]["sha256"]) == 64
    )


class RefinedSegmenter(ColorSegmenter):
    """Predicts nothing but where a mask is given."""

    def truth(self, image, prompt):
        right = super().truth(image, prompt)
        return right if prompt.mask is not None else np.zeros_like(right)


def test_a_box_with_and_without_logits_are_two_prompts(tmp_path):
    pytest.importorskip("pycocotools")
    folder, file = write_coco(tmp_path / "set"), tmp_path / "predictions.jsonl"
    refined, plain = (Instances(refine=count).make([folder], None) for count in (1, 0))
    assert recorded(refined, RefinedSegmenter(), file).scores["box"] == 1.0
    assert len(file.read_bytes().splitlines()) == 1 + 6 * 2
    assert evaluate(refined, RecordedPredictions(file)).scores["box"] == 1.0
    assert evaluate(plain, RecordedPredictions(file)).scores["box"] == 0.0


def test_prompts_that_were_not_recorded_are_named(tmp_path):
    pytest.importorskip("cv2")
    folder, file = write_coco(tmp_path / "set"), tmp_path / "predictions.jsonl"
    few = SinglePoint(images=1, min_area=1).make([folder], None)
    recorded(few, ColorSegmenter(), file)
    all_photos = SinglePoint(min_area=600).make([folder], None)
    segmenter = RecordedPredictions(file)
    # The photos are equal, and so are their first clicks; the box is not needed twice.
    assert evaluate(all_photos, segmenter).scores["1"] == 1.0
    with pytest.raises(ValueError, match="expected one that was recorded"):
        evaluate(Instances(refine=0).make([folder], None), segmenter)


@pytest.mark.parametrize("text", ["", "[1]\n", '{"format": "another"}\n', "{\n"])
def test_other_files_are_refused(text, tmp_path):
    file = tmp_path / "predictions.jsonl"
    file.write_text(text)
    with pytest.raises(ValueError, match="--record"):
        RecordedPredictions(file)
