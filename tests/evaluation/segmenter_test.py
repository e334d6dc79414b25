"""samjax's model behind the protocol."""

import jax
import numpy as np
from small_photo_set import TWO, ColorSegmenter, draw

import samjax
from samjax.evaluation.grabcut import GrabCut
from samjax.evaluation.segmenter import PredictorSegmenter, Segmenter
from samjax.inference import Predictor

PROMPTS = (
    samjax.Prompt(points=[[10, 12]]),
    samjax.Prompt(box=[5, 5, 26, 26]),
    samjax.Prompt(points=[[50, 40], [3, 3]], labels=[1, 0]),
)


def test_predictions_are_those_of_the_predictor(tiny_model):
    predictor = Predictor(*tiny_model)
    segmenter = PredictorSegmenter(predictor, "small")
    image = draw(TWO)
    embedding = segmenter.embed(image)
    predictions = segmenter.predict(embedding, PROMPTS)
    for prompt, prediction in zip(PROMPTS, predictions, strict=True):
        for masks, multimask in ((prediction.single, False), (prediction.multimask, 1)):
            expected = predictor.predict(embedding, prompt, multimask=bool(multimask))
            np.testing.assert_array_equal(masks.masks, expected.masks)
            np.testing.assert_allclose(masks.scores, expected.scores, atol=1e-5)
            assert masks.logits.shape == expected.logits.shape


def test_its_fingerprint_is_that_of_all_weights(tiny_model):
    model, params = tiny_model
    described = PredictorSegmenter(Predictor(model, params), "small").describe()
    assert described["name"] == "small" and described["dtype"] == "float32"
    again = PredictorSegmenter(Predictor(model, params)).describe()
    assert again["weights"] == described["weights"]
    for part in params:
        moved = params | {part: jax.tree.map(lambda leaf: leaf + 0.5, params[part])}
        other = PredictorSegmenter(Predictor(model, moved)).describe()
        assert other["weights"] != described["weights"]
        is_encoder = part == "image_encoder"
        assert (other["image_encoder"] != described["image_encoder"]) == is_encoder


def test_every_adapter_is_a_segmenter(tiny_model):
    adapters = (PredictorSegmenter(Predictor(*tiny_model)), GrabCut(), ColorSegmenter())
    assert all(isinstance(adapter, Segmenter) for adapter in adapters)
