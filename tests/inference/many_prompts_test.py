"""Many prompts over one prepared image side: the masks of the predictor."""

import numpy as np

from samjax.inference import Predictor
from samjax.inference.many_prompts import FEWEST, predict_many
from samjax.prompts import Prompt


def test_many_prompts_of_all_kinds_give_what_the_predictor_gives(tiny_model, rng):
    predictor = Predictor(*tiny_model)
    embedding = predictor.embed(rng.integers(0, 255, (40, 60, 3)).astype(np.uint8))
    size = predictor.low_res_size
    points = rng.uniform(0, 40, (FEWEST + 2, 2))
    prompts = [Prompt(points=point[None]) for point in points]
    prompts[3:3] = [
        Prompt(box=[5, 5, 26, 26], mask=rng.normal(size=(size, size))),
        Prompt(box=[5, 5, 26, 26]),
    ]
    many = predict_many(predictor, embedding, prompts)
    plain = predictor.predict_all(embedding, prompts)
    for one, other in zip(many, plain, strict=True):
        scale = np.sqrt(np.mean(other.logits**2))
        assert np.abs(one.logits - other.logits).max() < 1e-4 * scale
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-5)
        assert one.frame == other.frame
