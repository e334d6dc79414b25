"""The calibrated score, and the threshold for a precision."""

import numpy as np
import pytest

from samjax.engine.proposer.confidence import (
    NUM_FEATURES,
    Confidence,
    fit_confidence,
    threshold_for,
)


def drawn(seed, count):
    """Masks whose probability to be right is known."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(count, NUM_FEATURES)) * [1, 2, 1, 3, 1, 1]
    true = 1 / (1 + np.exp(-(features[:, 0] + 0.5 * features[:, 1])))
    return features, rng.random(count) < true, true


def test_confidences_are_probabilities():
    score = fit_confidence(*drawn(0, 4000)[:2])
    features, _, true = drawn(1, 4000)
    assert np.abs(score.of(features) - true).mean() < 0.02


def test_a_constant_feature_does_no_harm():
    features, right, _ = drawn(0, 500)
    features[:, 2] = 0.5
    assert np.isfinite(fit_confidence(features, right).of(features)).all()


def test_masks_that_are_all_right_or_all_wrong_can_be_fitted():
    features, _, _ = drawn(0, 50)
    for right in (np.ones(50, bool), np.zeros(50, bool)):
        confidences = fit_confidence(features, right).of(features)
        assert ((confidences > 0.5) == right).all()


def test_numbers_survive_json():
    score = fit_confidence(*drawn(0, 100)[:2])
    again = Confidence.from_json(score.to_json())
    features = drawn(2, 10)[0]
    np.testing.assert_array_equal(score.of(features), again.of(features))
    with pytest.raises(ValueError, match="expected mean"):
        Confidence.from_json({"mean": [1.0]})


@pytest.mark.parametrize("precision", [0.6, 0.7, 0.8])
def test_a_threshold_gives_the_precision_on_other_masks(precision):
    shares = []
    for seed in range(20):
        features, right, _ = drawn(seed, 400)
        score = fit_confidence(features, right)
        threshold = threshold_for(score.of(features), right, precision)
        others, truth, _ = drawn(seed + 100, 4000)
        shares.append(truth[score.of(others) >= threshold].mean())
    # Neither higher nor lower on average: the luckiest threshold would be lower.
    assert np.mean(shares) == pytest.approx(precision, abs=0.02)


def test_no_threshold_reaches_what_the_masks_do_not_have():
    rng = np.random.default_rng(0)
    confidences, right = rng.random(200), rng.random(200) < 0.3
    assert threshold_for(confidences, right, 0.95) is None
    assert threshold_for(confidences[:5], np.ones(5, bool), 0.5) is None
