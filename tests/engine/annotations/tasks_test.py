"""Every image goes to one person at a time, whatever happens to people and processes."""

import multiprocessing
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from engine.annotations.store_test import add

from samjax.engine.annotations import AnnotationStore
from samjax.engine.annotations.database import Database
from samjax.engine.annotations.errors import LeaseLost, UnknownTask
from samjax.engine.annotations.tasks import TaskQueue

IMAGES = [f"{number:02d}.png" for number in range(12)]


class Clock:
    def __init__(self):
        self.time = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time

    def wait(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "annotations.sqlite3"


@pytest.fixture
def tasks(path, clock):
    database = Database(path)
    yield TaskQueue(database, clock, lease_seconds=100.0)
    database.close()


def claimed(tasks: TaskQueue, person: str, *kinds) -> str | None:
    task = tasks.claim(person, kinds or ("annotate",))
    return task and task.image


def test_no_image_is_given_to_two_people(tasks):
    assert tasks.add(IMAGES) == len(IMAGES)
    given = [claimed(tasks, f"person {n}") for n in range(len(IMAGES))]
    assert sorted(given) == IMAGES
    assert claimed(tasks, "late") is None
    assert tasks.counts() == {("annotate", "leased"): len(IMAGES)}


def test_the_order_is_random_by_its_seed_or_the_given_one(path, clock):
    orders = []
    for number, seed in enumerate([3, 3, 4, None]):
        database = Database(path.with_name(f"{number}.sqlite3"))
        queue = TaskQueue(database, clock)
        queue.add(IMAGES, seed=seed)
        order = queue.upcoming(99)
        assert order == [claimed(queue, f"person {n}") for n in range(len(IMAGES))]
        orders.append(order)
        database.close()
    assert orders[0] == orders[1] != orders[2] and orders[3] == IMAGES
    assert orders[0] != IMAGES


def test_an_image_has_one_task_of_a_kind_and_round(tasks):
    tasks.add(IMAGES[:2])
    assert tasks.add([*IMAGES[:3], IMAGES[2]]) == 1
    assert tasks.add(IMAGES[:3], "audit") == 3
    assert tasks.add(IMAGES[:3], round=1) == 3
    assert tasks.counts(0) == {("annotate", "open"): 3, ("audit", "open"): 3}
    assert tasks.counts(1) == {("annotate", "open"): 3}


def test_who_asks_again_gets_the_same_task_and_a_new_lease(tasks, clock):
    tasks.add(IMAGES)
    first = tasks.claim("ada")
    clock.wait(60)
    second = tasks.claim("ada")
    assert second.id == first.id and second.attempt == 1
    assert second.lease_until == first.lease_until + 60


def test_a_lapsed_lease_opens_the_task_and_a_renewed_one_does_not(tasks, clock):
    tasks.add(IMAGES[:1])
    task = tasks.claim("ada")
    clock.wait(90)
    tasks.renew(task.id, "ada")
    clock.wait(90)
    assert claimed(tasks, "bob") is None
    clock.wait(11)
    taken = tasks.claim("bob")
    assert (taken.id, taken.attempt, taken.assignee) == (task.id, 2, "bob")
    for action in (tasks.renew, tasks.finish, tasks.give_back):
        with pytest.raises(LeaseLost, match="masks are stored"):
            action(task.id, "ada")
    assert tasks.finish(task.id, "bob").state == "done"


def test_who_finishes_late_but_before_anybody_else_has_finished(tasks, clock):
    tasks.add(IMAGES[:1])
    task = tasks.claim("ada")
    clock.wait(1000)
    assert tasks.finish(task.id, "ada").state == "done"
    assert tasks.finish(task.id, "ada").state == "done"
    assert claimed(tasks, "bob") is None


@pytest.mark.parametrize("state", ["skipped", "flagged"])
def test_a_skipped_or_flagged_task_has_a_reason(tasks, state):
    tasks.add(IMAGES[:1])
    task = tasks.claim("ada")
    with pytest.raises(ValueError, match="no reason"):
        tasks.finish(task.id, "ada", state, " ")
    assert tasks.finish(task.id, "ada", state, "too blurred").note == "too blurred"
    assert claimed(tasks, "bob") is None


def test_a_task_given_back_is_the_next_one(tasks):
    tasks.add(IMAGES)
    task = tasks.claim("ada")
    assert tasks.give_back(task.id, "ada").state == "open"
    assert tasks.claim("bob").id == task.id


def test_a_returned_task_comes_first_with_its_note(tasks):
    tasks.add(IMAGES)
    task = tasks.claim("ada")
    with pytest.raises(LeaseLost, match="expected a finished one"):
        tasks.reopen(task.id, "no")
    tasks.finish(task.id, "ada")
    tasks.add(["urgent.png"], priority=5.0)
    tasks.reopen(task.id, "the tail is missing")
    again = tasks.claim("bob")
    assert (again.id, again.note) == (task.id, "the tail is missing")


def test_masks_are_verified_by_somebody_else(path, clock):
    store = AnnotationStore(path)
    add(store, image=IMAGES[0], author="ada")
    database = Database(path)
    tasks = TaskQueue(database, clock)
    tasks.add(IMAGES[:1], "verify")
    assert claimed(tasks, "ada", "verify") is None
    assert claimed(tasks, "bob", "verify") == IMAGES[0]
    database.close()
    store.close()


def test_kinds_are_claimed_apart(tasks):
    tasks.add(IMAGES[:1], "audit")
    assert claimed(tasks, "ada") is None
    assert claimed(tasks, "ada", "annotate", "audit") == IMAGES[0]


def test_an_unknown_task_is_named(tasks):
    with pytest.raises(UnknownTask, match="got the id 7"):
        tasks.finish(7, "ada")


def take_all(path: Path, person: str, given) -> None:
    database = Database(path)
    queue = TaskQueue(database)
    while (task := queue.claim(person)) is not None:
        given.append((task.image, person))
        queue.finish(task.id, person)
    database.close()


def test_threads_and_processes_share_a_queue(path):
    database = Database(path)
    names = [f"{number}.png" for number in range(60)]
    TaskQueue(database).add(names)
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager:
        given = manager.list()
        workers = [
            context.Process(target=take_all, args=(path, f"process {n}", given))
            for n in range(2)
        ] + [
            threading.Thread(target=take_all, args=(path, f"thread {n}", given))
            for n in range(3)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert sorted(image for image, _ in given) == sorted(names)
    database.close()
