"""Differences of groups: their confidence, pairing, and Holm's correction."""

import numpy as np
import pytest

from samjax.evaluation.group_differences import compare_groups, holm


def objects(rng, *, photos=60, per_photo=4, shift=0.0, groups=2):
    """IoU-like values with a part that all objects of a photo share."""
    images = np.repeat(np.arange(photos), per_photo)
    group = np.tile(np.arange(per_photo) % groups, photos)
    values = rng.normal(size=photos)[images] + rng.normal(size=len(images))
    return values + shift * (group == 0), images, [str(one) for one in group]


@pytest.mark.parametrize("groups", [2, 4])
def test_differences_that_are_not_there_are_found_as_rarely_as_stated(groups):
    rng = np.random.default_rng(0)
    runs, found = 300, 0
    for run in range(runs):
        values, images, names = objects(rng, groups=groups)
        compared = compare_groups(values, images, names, seed=run, resamples=300)
        found += any(pair.differs for pair in compared.differences)
    # 5 % over all pairs together, with a standard error of 1.3 %.
    assert 0.01 <= found / runs <= 0.09


def test_a_difference_that_is_there_is_found():
    rng = np.random.default_rng(1)
    found = 0
    for run in range(40):
        values, images, names = objects(rng, shift=0.6)
        compared = compare_groups(values, images, names, seed=run, resamples=300)
        (pair,) = compared.differences
        assert pair.first == "0" and pair.difference > 0
        found += pair.differs
    assert found >= 36


def test_what_a_photo_does_to_both_groups_cancels_in_paired_differences():
    rng = np.random.default_rng(2)
    images = np.repeat(np.arange(50), 2)
    names = ["a", "b"] * 50
    shared = 10 * rng.normal(size=50)[images]
    values = shared + 0.1 * rng.normal(size=100) + 0.3 * (np.arange(100) % 2 == 0)
    paired, unpaired = (
        compare_groups(values, images, names, paired=way, resamples=1000)
        for way in (True, False)
    )
    assert paired.differences[0].differs and not unpaired.differences[0].differs
    widths = [np.diff(one.differences[0].interval) for one in (paired, unpaired)]
    assert widths[0] < 0.1 * widths[1]


def test_groups_in_different_photos_have_the_same_interval_either_way():
    rng = np.random.default_rng(3)
    images, names = np.arange(400), ["a"] * 200 + ["b"] * 200
    values = rng.normal(size=400)
    widths = [
        np.diff(
            compare_groups(values, images, names, paired=way, resamples=4000)
            .differences[0]
            .interval
        )
        for way in (True, False)
    ]
    assert widths[0] == pytest.approx(widths[1], rel=0.1)


def test_means_and_counts_are_those_of_the_objects():
    values = np.array([0.0, 1.0, 0.5, 0.5])
    compared = compare_groups(
        values, np.array([0, 0, 1, 2]), ["a", "b", "a", "a"], resamples=100
    )
    a, b = compared.groups["a"], compared.groups["b"]
    assert a.mean == pytest.approx(1 / 3) and (a.images, a.objects) == (3, 3)
    assert (b.mean, b.images, b.objects) == (1.0, 1, 1)


def test_a_group_alone_and_equal_values_are_no_difference():
    alone = compare_groups(np.ones(3), np.arange(3), ["a"] * 3, resamples=10)
    assert not alone.differences
    same = compare_groups(np.ones(4), np.arange(4), list("abab"), resamples=10)
    (pair,) = same.differences
    assert pair.difference == 0 and pair.p == 1 and not pair.differs


def test_holms_correction_is_the_textbooks():
    # Holm (1979): multiply by the tests that are left, never below the one before.
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []
