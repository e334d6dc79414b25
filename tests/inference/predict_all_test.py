"""All masks of a prompt: the single mask and the multimask output."""

import numpy as np
import pytest

from samjax.inference import Predictor, Prompt


@pytest.mark.parametrize("points", [[[30, 20]], [[30, 20], [5, 8]]])
def test_all_masks_are_the_single_one_and_the_three(tiny_model, rng, points):
    predictor = Predictor(*tiny_model)
    embedding = predictor.embed(rng.integers(0, 256, (40, 70, 3), np.uint8))
    prompt = Prompt(points=points)
    every = predictor.predict_all(embedding, prompt)
    assert len(every) == 4
    single, three = (
        predictor.predict(embedding, prompt, multimask=multimask)
        for multimask in (False, True)
    )
    np.testing.assert_array_equal(every.masks[:1], single.masks)
    np.testing.assert_array_equal(every.masks[1:], three.masks)
    np.testing.assert_array_equal(every.logits[1:], three.logits)
    np.testing.assert_array_equal(every.scores, [*single.scores, *three.scores])
    first, second = predictor.predict_all(embedding, [prompt, Prompt(box=[5, 5, 9, 9])])
    assert len(first) == len(second) == 4
    np.testing.assert_allclose(first.scores, every.scores, atol=1e-5)
