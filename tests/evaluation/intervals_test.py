"""Intervals: they cover what they say, and draw images and not objects."""

import numpy as np
import pytest

from samjax.evaluation.intervals import bootstrap_means, interval, mean_of_sets


def test_an_interval_over_100_images_covers_the_true_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered, runs = 0, 1000
    for run in range(runs):
        # Three objects an image on average, alike by a shared half of their variance.
        images = np.repeat(np.arange(100), rng.integers(1, 6, 100))
        values = rng.normal(size=100)[images] + rng.normal(size=len(images))
        low, high = interval(bootstrap_means(values, images, seed=run, resamples=400))
        covered += low <= 0 <= high
    assert 0.93 <= covered / runs <= 0.97


def test_objects_of_one_image_are_drawn_together():
    values = np.tile([0.0, 1.0], 50)
    same = np.repeat(np.arange(50), 2)
    assert interval(bootstrap_means(values, same)) == [0.5, 0.5]
    low, high = interval(bootstrap_means(values, np.arange(100)))
    assert low < 0.45 and high > 0.55


def test_draws_depend_on_the_seed_alone():
    values, images = np.random.default_rng(0).random(30), np.arange(30) // 3
    first, again, other = (
        bootstrap_means(values, images, seed=seed) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    # The numbers that images are known by do not matter.
    np.testing.assert_array_equal(
        bootstrap_means(values, 7 * images + 2, seed=1), first
    )


def test_the_mean_of_sets_is_narrower_than_each_of_them():
    rng = np.random.default_rng(0)
    sets = [
        bootstrap_means(rng.random(40), np.arange(40), seed=seed) for seed in range(4)
    ]
    low, high = interval(mean_of_sets(sets))
    assert high - low < min(np.subtract(*interval(one)[::-1]) for one in sets)
    assert mean_of_sets(sets).mean() == pytest.approx(np.mean(sets))
