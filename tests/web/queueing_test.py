from hypothesis import given
from hypothesis import strategies as st

from samjax.web.queueing import MOST_PREFETCHED, MOST_REQUESTED, WorkQueue


def order(queue: WorkQueue) -> list[str]:
    found = []
    while (turn := queue.take()) is not None:
        found.append(turn.key)
    return found


def test_who_waits_comes_before_long_work_and_that_before_guesses():
    queue = WorkQueue()
    queue.prefetch("guess", 0)
    queue.add_job("job", 0)
    queue.request("first", 0)
    queue.request("second", 0)
    assert order(queue) == ["first", "second", "job", "guess"]


def test_a_guess_that_is_asked_for_moves_up_and_is_done_once():
    queue = WorkQueue()
    queue.prefetch("a", 0)
    queue.prefetch("b", 0)
    assert queue.position("a") == 1
    queue.request("a", 0)
    queue.prefetch("a", 0)
    queue.request("a", 0)
    assert queue.position("a") == 0 and queue.position("b") == 1
    assert order(queue) == ["a", "b"]
    assert queue.position("a") is None


def test_jobs_take_turns():
    queue = WorkQueue()
    queue.add_job("a", 0)
    queue.add_job("b", 0)
    done = []
    for _ in range(4):
        turn = queue.take()
        done.append(turn.key)
        queue.add_job(turn.key, 0)
    assert done == ["a", "b", "a", "b"]


def test_waiting_is_bounded():
    queue = WorkQueue()
    assert all(queue.request(str(i), 0) for i in range(MOST_REQUESTED))
    assert not queue.request("more", 0)
    assert queue.request("0", 0)
    for i in range(2 * MOST_PREFETCHED):
        queue.prefetch(f"guess {i}", 0)
    assert len(order(queue)) == MOST_REQUESTED + MOST_PREFETCHED


@given(st.lists(st.tuples(st.sampled_from(["request", "prefetch"]), st.integers(0, 5))))
def test_positions_are_the_order_in_which_images_are_taken(calls):
    queue = WorkQueue()
    for kind, number in calls:
        getattr(queue, kind)(str(number), number)
    keys = {str(number) for _, number in calls}
    positions = {queue.position(key): key for key in keys}
    assert order(queue) == [positions[place] for place in sorted(positions)]
