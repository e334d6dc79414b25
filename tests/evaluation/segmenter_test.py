"""samjax's model behind the protocol."""

import jax
import numpy as np
from PIL import Image
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


def test_to_a_square_is_what_a_squashed_photo_gives(tiny_model, rng):
    predictor = Predictor(*tiny_model)
    side = predictor.model.config.image_size
    image = rng.integers(0, 256, (40, 70, 3), dtype=np.uint8)
    squashed = np.array(
        Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR)
    )
    scale = np.array([side / 70, side / 40])
    points = np.array([[30.0, 10.0], [60.0, 35.0]])
    segmenter = PredictorSegmenter(predictor, "small", to_square=True)
    plain = PredictorSegmenter(predictor, "small")
    found, expected = (
        of.predict(of.embed(pixels), [samjax.Prompt(points=at, labels=[1, 0])])[
            0
        ].single
        for of, pixels, at in (
            (segmenter, image, points),
            (plain, squashed, points * scale),
        )
    )
    np.testing.assert_allclose(found.logits, expected.logits, atol=1e-5)
    assert found.masks.shape[1:] == image.shape[:2]
    assert segmenter.describe() == {**plain.describe(), "resize": "square"}
