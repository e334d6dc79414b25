"""Splits follow names: stable, disjoint, whole groups."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samjax.data.examples import RawExample
from samjax.data.finetune import split_examples


class Named:
    """A source of examples with groups only."""

    def __init__(self, groups):
        self.groups = tuple(groups)

    def __len__(self):
        return len(self.groups)

    def __getitem__(self, index):
        return RawExample(self.groups[index], None, None)


def names(subset):
    return [subset[i].name for i in range(len(subset))]


groups = st.lists(st.text(min_size=1, max_size=8), min_size=2, max_size=40)


@given(groups, st.floats(0.01, 0.99))
def test_a_group_is_on_one_side_and_no_side_is_empty(groups, fraction):
    source = Named(groups)
    if len(set(groups)) < 2:
        with pytest.raises(ValueError, match="at least 2"):
            split_examples(source, fraction)
        return
    trained, held_out = split_examples(source, fraction)
    assert sorted(trained.indices + held_out.indices) == list(range(len(source)))
    assert len(trained) and len(held_out)
    assert set(names(trained)).isdisjoint(names(held_out))


def test_most_images_stay_on_their_side_when_others_come():
    some, more = ([f"photo_{i}" for i in range(n)] for n in (100, 200))
    _, before = split_examples(Named(some), 0.2)
    _, after = split_examples(Named(reversed(more)), 0.2)
    assert set(names(before)) <= set(names(after))
    assert 10 < len(before) < 30


def test_a_larger_limit_extends_a_smaller_one_and_holds_out_the_same():
    source = Named(f"photo_{i}" for i in range(100))
    few, held_out = split_examples(source, 0.2, limit=10)
    more, same = split_examples(source, 0.2, limit=20)
    assert (len(few), len(more)) == (10, 20)
    assert set(few.indices) < set(more.indices)
    assert held_out.indices == same.indices
    everything, _ = split_examples(source, 0.2, limit=1000)
    assert len(everything) == 100 - len(held_out)


def test_a_fraction_of_zero_holds_nothing_out():
    trained, held_out = split_examples(Named(["a"]), 0.0)
    assert (len(trained), len(held_out)) == (1, 0)


@pytest.mark.parametrize(("fraction", "limit"), [(-0.1, None), (1.0, None), (0.1, 0)])
def test_numbers_out_of_range_are_refused(fraction, limit):
    with pytest.raises(ValueError, match="expected"):
        split_examples(Named("ab"), fraction, limit=limit)
