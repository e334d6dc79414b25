"""Calibration: zero for a model that knows, the shift for one that is sure of itself."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samjax.evaluation.metrics.calibration import calibration, rank_correlation

SOME = np.random.default_rng(0).random(200)


def test_a_model_that_knows_has_no_error():
    found = calibration(SOME, SOME)
    assert found["error"] == 0 and found["rank_correlation"] == pytest.approx(1)
    assert found["mean_predicted"] == found["mean_true"] == pytest.approx(SOME.mean())
    assert sum(one["objects"] for one in found["bins"]) == 200


@given(st.floats(0, 0.5))
def test_a_model_that_is_too_sure_is_off_by_as_much(shift):
    found = calibration(SOME + shift, SOME)
    assert found["error"] == pytest.approx(shift)
    assert found["mean_predicted"] - found["mean_true"] == pytest.approx(shift)


def test_errors_of_opposite_sign_cancel_in_the_mean_and_not_in_the_error():
    predicted, true = np.array([0.25, 0.75]), np.array([0.35, 0.65])
    found = calibration(predicted, true)
    assert found["mean_predicted"] == found["mean_true"]
    assert found["error"] == pytest.approx(0.1)


def test_every_predicted_value_is_in_a_bin_also_outside_of_0_to_1():
    found = calibration(np.array([-0.2, 0.0, 1.0, 1.3]), np.zeros(4))
    assert [one["objects"] for one in found["bins"]] == [2, *[0] * 8, 2]
    assert found["bins"][1]["predicted"] is None


def test_ranks_of_equal_values_are_their_mean():
    # 1, 2.5, 2.5, 4 and 1, 2, 3, 4.
    found = rank_correlation(np.array([1, 5, 5, 9]), np.array([1, 2, 3, 4]))
    assert found == pytest.approx(4.5 / np.sqrt(4.5 * 5))
    assert rank_correlation(SOME, -(SOME**3)) == pytest.approx(-1)
    assert rank_correlation(SOME, np.ones(200)) is None
