import numpy as np
import pytest

from samjax.engine.calibration import threshold_for_precision


def by_trying(scores, ious, precision, least):
    best = None
    for threshold in sorted(set(scores), reverse=True):
        kept = ious[scores >= threshold]
        if len(kept) >= least and (kept >= 0.75).mean() >= precision:
            best = threshold
    return best


@pytest.mark.parametrize("seed", range(20))
def test_the_threshold_is_the_lowest_that_reaches_the_precision(seed):
    rng = np.random.default_rng(seed)
    scores = rng.choice(np.linspace(0, 1, 12), 60)
    ious = np.clip(scores + rng.normal(0.1, 0.3, 60), 0, 1)
    for precision in (0.5, 0.8, 0.95):
        threshold = threshold_for_precision(scores, ious, precision=precision, least=5)
        assert threshold == by_trying(scores, ious, precision, 5)


def test_no_threshold_is_none():
    assert threshold_for_precision(np.ones(50), np.zeros(50)) is None
    assert threshold_for_precision(np.ones(3), np.ones(3)) is None, "too few to tell"
    assert threshold_for_precision(np.zeros(0), np.zeros(0)) is None
