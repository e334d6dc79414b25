"""Calibration error: zero for exact predictions, the shift for shifted ones."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samjax.evaluation.metrics.calibration import calibration, rank_correlation

SOME = np.random.default_rng(0).random(200)


def test_exact_predictions_have_no_error():
    table = calibration(SOME, SOME)
    assert table["error"] == 0 and table["rank_correlation"] == pytest.approx(1)
    assert table["mean_predicted"] == table["mean_true"] == pytest.approx(SOME.mean())
    assert sum(entry["objects"] for entry in table["bins"]) == 200


@given(st.floats(0, 0.5))
def test_a_constant_shift_is_the_error(shift):
    table = calibration(SOME + shift, SOME)
    assert table["error"] == pytest.approx(shift)
    assert table["mean_predicted"] - table["mean_true"] == pytest.approx(shift)


def test_errors_of_opposite_sign_cancel_in_the_mean_and_not_in_the_error():
    predicted, true = np.array([0.25, 0.75]), np.array([0.35, 0.65])
    table = calibration(predicted, true)
    assert table["mean_predicted"] == table["mean_true"]
    assert table["error"] == pytest.approx(0.1)


def test_every_predicted_value_is_in_a_bin_also_outside_of_0_to_1():
    table = calibration(np.array([-0.2, 0.0, 1.0, 1.3]), np.zeros(4))
    assert [entry["objects"] for entry in table["bins"]] == [2, *[0] * 8, 2]
    assert table["bins"][1]["predicted"] is None


def test_ranks_of_equal_values_are_their_mean():
    # 1, 2.5, 2.5, 4 and 1, 2, 3, 4.
    correlation = rank_correlation(np.array([1, 5, 5, 9]), np.array([1, 2, 3, 4]))
    assert correlation == pytest.approx(4.5 / np.sqrt(4.5 * 5))
    assert rank_correlation(SOME, -(SOME**3)) == pytest.approx(-1)
    assert rank_correlation(SOME, np.ones(200)) is None
