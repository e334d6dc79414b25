"""Texts to boxes to masks, with detectors of known boxes."""

import json

import numpy as np
import pytest
from models.text_sam.model_test import plain_config
from small_text_sam import random_params

import samjax
from samjax import Prompt
from samjax.inference.detectors import Detections, FixedBoxes
from samjax.inference.segment_text import segment_text
from samjax.models import Sam

IMAGE = np.random.default_rng(0).integers(0, 256, (40, 64, 3), np.uint8)
BOXES = FixedBoxes(
    {
        "mug": [((2, 2, 30, 30), 0.9), ((3, 2, 30, 30), 0.8), ((40, 5, 60, 20), 0.5)],
        "plate": [((2, 2, 30, 30), 0.7), ((0, 0, 9, 9), 0.1), ((70, 50, 80, 60), 0.9)],
    }
)


@pytest.fixture(scope="module")
def predictor():
    params = random_params()
    del params["text_encoder"]
    return samjax.Predictor(Sam(plain_config()), params)


def test_instances_have_text_score_box_and_the_mask_of_their_box(predictor):
    embedding = predictor.embed(IMAGE)
    found = segment_text(predictor, BOXES, IMAGE, ["mug", "plate"], embedding=embedding)
    # The second mug is the first one again; one plate is too unsure, one not in the image.
    assert [(i.text, i.score) for i in found] == [
        ("mug", 0.9),
        ("plate", 0.7),
        ("mug", 0.5),
    ]
    for instance in found:
        alone = predictor.predict(embedding, Prompt(box=instance.box), multimask=False)
        assert instance.mask.shape == (40, 64)
        np.testing.assert_array_equal(instance.mask, alone.masks[0])
        assert instance.predicted_iou == pytest.approx(alone.scores[0], abs=1e-5)


def test_nothing_found_is_an_answer(predictor):
    assert segment_text(predictor, BOXES, IMAGE, ["a giraffe"]) == []
    assert segment_text(predictor, BOXES, IMAGE, ["mug"], threshold=0.95) == []


def test_texts_are_a_list(predictor):
    for texts in ("mug", []):
        with pytest.raises(ValueError, match="expected a list of phrases"):
            segment_text(predictor, BOXES, IMAGE, texts)


@pytest.mark.parametrize(
    "boxes, scores, texts, words",
    [
        ([[0, 0, 1, 1]], [0.5, 0.6], [0], "1 boxes, 2 scores and 1 texts"),
        ([[0, 0, np.nan, 1]], [0.5], [0], "NaN"),
        ([[0, 0, 5, 5]], [0.5], [1], "expected indices below 1"),
    ],
)
def test_detectors_that_return_none_of_it_are_told(
    predictor, boxes, scores, texts, words
):
    class Detector:
        def detect(self, image, texts_):
            return Detections(np.array(boxes), np.array(scores), np.array(texts))

    with pytest.raises(ValueError, match=words):
        segment_text(predictor, Detector(), IMAGE, ["mug"])


def test_boxes_are_read_from_a_file(tmp_path):
    path = tmp_path / "boxes.json"
    rows = [{"text": "mug", "box": [1, 2, 3, 4]}, {"text": "a", "box": [0, 0, 1, 1.5]}]
    path.write_text(json.dumps(rows))
    found = FixedBoxes.load(path).detect(IMAGE, ["a", "b", "mug"])
    assert found.boxes.tolist() == [[0, 0, 1, 1.5], [1, 2, 3, 4]]
    assert found.texts.tolist() == [0, 2] and found.scores.tolist() == [1, 1]
    for row in ({"text": "mug"}, {"text": 3, "box": [1, 2, 3, 4]}, [1], "x"):
        path.write_text(json.dumps([row]))
        with pytest.raises(ValueError, match="expected an object"):
            FixedBoxes.load(path)
    path.write_text("{")
    with pytest.raises(ValueError, match="no JSON"):
        FixedBoxes.load(path)
