import pytest

from samjax.training.runtime.bad_data import AT_LEAST, BadData, TooManyBadExamples


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


def run(bad: BadData, is_bad, *, examples: int, batch: int = 2) -> int | None:
    """The step at which a run of shuffled epochs stops; None where it does not."""
    for step in range(examples // batch):
        places = range(step * batch, (step + 1) * batch)
        try:
            bad.add(step, batch, metrics(sum(map(is_bad, places))))
        except TooManyBadExamples:
            return step
    return None


# Examples of the dataset (None: not known), those that are damaged, the fraction that
# may be, and whether the run goes on for ten epochs.
FRACTIONS = [
    (None, 0.25, 0.1, False),
    (None, 0.08, 0.1, True),
    (16, 1 / 16, 0.1, True),
    (16, 2 / 16, 0.1, False),
    (20, 0.1, 0.1, True),
    (20, 0.15, 0.1, False),
    (200, 0.25, 0.1, False),
    (200, 0.1, 0.1, True),
    (1000, 0.001, 0.001, True),
    (1000, 0.002, 0.001, False),
    (50_000, 0.05, 0.001, False),
]


@pytest.mark.parametrize(("size", "share", "allowed", "goes_on"), FRACTIONS)
@pytest.mark.parametrize("order", ["first", "last", "spread"])
def test_the_fraction_holds_for_datasets_of_every_size(
    size, share, allowed, goes_on, order
):
    count = size or 400
    damaged = round(share * count)
    if order == "spread" or size is None:
        places = {i * count // damaged for i in range(damaged)}
    else:
        # The worst that shuffling can do, in turn at both ends of an epoch.
        places = set(
            range(damaged) if order == "first" else range(count - damaged, count)
        )
    bad = BadData(allowed)
    bad.dataset_size = size
    stopped = run(bad, lambda place: place % count in places, examples=10 * count)
    assert (stopped is None) == goes_on
    if stopped is not None:
        assert 2 * (stopped + 1) <= max(count, AT_LEAST)


def test_the_words_of_the_first_are_told():
    bad = BadData(0.0)
    bad.describe = lambda: [f"cell {i}.png: its masks are missing" for i in range(7)]
    assert "cell" not in bad.report()
    with pytest.raises(TooManyBadExamples, match=r"cell 0\.png: .*6 more like it"):
        bad.add(1, 8, metrics(7))
    assert "cell 0.png" in bad.report()
