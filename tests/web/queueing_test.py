from hypothesis import given
from hypothesis import strategies as st

from samjax.web.queueing import MOST_ASKED, MOST_FORESEEN, Turns


def order(turns: Turns) -> list[str]:
    found = []
    while (turn := turns.take()) is not None:
        found.append(turn.key)
    return found


def test_who_waits_comes_before_long_work_and_that_before_guesses():
    turns = Turns()
    turns.foresee("guess", 0)
    turns.add_job("job", 0)
    turns.ask("first", 0)
    turns.ask("second", 0)
    assert order(turns) == ["first", "second", "job", "guess"]


def test_a_guess_that_is_asked_for_moves_up_and_is_done_once():
    turns = Turns()
    turns.foresee("a", 0)
    turns.foresee("b", 0)
    assert turns.position("a") == 1
    turns.ask("a", 0)
    turns.foresee("a", 0)
    turns.ask("a", 0)
    assert turns.position("a") == 0 and turns.position("b") == 1
    assert order(turns) == ["a", "b"]
    assert turns.position("a") is None


def test_jobs_take_turns():
    turns = Turns()
    turns.add_job("a", 0)
    turns.add_job("b", 0)
    done = []
    for _ in range(4):
        turn = turns.take()
        done.append(turn.key)
        turns.add_job(turn.key, 0)
    assert done == ["a", "b", "a", "b"]


def test_waiting_is_bounded():
    turns = Turns()
    assert all(turns.ask(str(i), 0) for i in range(MOST_ASKED))
    assert not turns.ask("more", 0)
    assert turns.ask("0", 0)
    for i in range(2 * MOST_FORESEEN):
        turns.foresee(f"guess {i}", 0)
    assert len(order(turns)) == MOST_ASKED + MOST_FORESEEN


@given(st.lists(st.tuples(st.sampled_from(["ask", "foresee"]), st.integers(0, 5))))
def test_positions_are_the_order_in_which_images_are_taken(calls):
    turns = Turns()
    for kind, number in calls:
        getattr(turns, kind)(str(number), number)
    keys = {str(number) for _, number in calls}
    positions = {turns.position(key): key for key in keys}
    assert order(turns) == [positions[place] for place in sorted(positions)]
