import threading
import time

import pytest

from samjax.training.runtime.prefetch import prefetched


class Counting:
    """A source of numbers that says what it was asked for."""

    def __init__(self, fails_at=None):
        self.asked, self.fails_at, self.is_closed = [], fails_at, False

    def batch(self, step):
        if step == self.fails_at:
            raise OSError("the disk is gone")
        self.asked.append(step)
        return step

    @property
    def position(self):
        return {"global_next_index": 10 * (max(self.asked, default=-1) + 1)}

    def close(self):
        self.is_closed = True


class BatchesOnly:
    """The least that a source is."""

    def batch(self, step):
        return step


def settle(source):
    """Waits until nothing more is asked for."""
    before = -1
    while before != len(source.asked):
        before = len(source.asked)
        time.sleep(0.05)


def test_batches_come_in_order_with_the_position_after_each():
    fetched = list(prefetched(Counting(), lambda batch: -batch, range(3, 8)))
    assert [-f.batch for f in fetched] == [3, 4, 5, 6, 7]
    assert [f.position["global_next_index"] for f in fetched] == [40, 50, 60, 70, 80]


def test_a_source_needs_nothing_but_batches():
    fetched = list(prefetched(BatchesOnly(), lambda batch: batch, range(3)))
    assert fetched == [(0, None), (1, None), (2, None)]


def test_the_next_batches_are_read_before_they_are_asked_for_and_no_more():
    source = Counting()
    batches = prefetched(source, lambda batch: batch, range(100), ahead=2)
    for done in range(5):
        assert next(batches).batch == done
        settle(source)
        # The one that is used, and two that wait.
        assert source.asked == list(range(done + 3))
    batches.close()


def test_what_the_source_raises_is_raised_where_its_batch_is_due():
    source = Counting(fails_at=2)
    batches = prefetched(source, lambda batch: batch, range(5))
    assert [next(batches).batch, next(batches).batch] == [0, 1]
    with pytest.raises(OSError, match="the disk is gone"):
        next(batches)
    assert source.is_closed


def test_a_run_that_leaves_early_ends_the_reader_and_closes_the_source():
    source = Counting()
    batches = prefetched(source, lambda batch: batch, range(100))
    next(batches)
    batches.close()
    assert source.is_closed
    names = {thread.name for thread in threading.enumerate()}
    assert not any(name.startswith("samjax-prefetch") for name in names)
