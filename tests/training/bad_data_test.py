import pytest

from samjax.training.bad_data import AT_LEAST, BadData, TooManyBadExamples


def metrics(examples, masks=0):
    return {"loss": 1.0, "bad_examples": float(examples), "bad_masks": float(masks)}


def test_what_is_damaged_is_counted_over_a_run_that_was_interrupted():
    first = BadData(0.5)
    first.add(1, 8, metrics(1, 2))
    second = BadData(0.5)
    second.restore(first.to_json())
    second.add(2, 8, metrics(0, 3))
    assert second.report() == (
        "1 of 16 examples were damaged and skipped, and 5 masks of others"
    )


def test_a_run_of_drawn_scenes_counts_nothing():
    bad = BadData(0.0)
    bad.add(1, 8, {"loss": 1.0})
    assert not bad


def test_too_many_end_the_run_with_what_to_do():
    bad = BadData(0.01)
    for step in range(1, 6):
        bad.add(step, 2, metrics(2))
    # Ten of ten: as many as are allowed in the least number that says anything.
    assert bad.to_json()["bad_examples"] == 0.01 * AT_LEAST
    with pytest.raises(TooManyBadExamples, match=r"11 of 12 .*step 6.*data verify"):
        bad.add(6, 2, metrics(1))


def test_few_among_many_do_not():
    bad = BadData(0.01)
    for step in range(1, 1001):
        bad.add(step, 100, metrics(1))


def test_where_none_is_allowed_the_first_ends_the_run():
    bad = BadData(0.0)
    bad.add(1, 4, metrics(0, 3))
    with pytest.raises(TooManyBadExamples):
        bad.add(2, 4, metrics(1))
