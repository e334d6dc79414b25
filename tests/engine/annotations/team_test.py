"""A team's queue: gold images that nobody can tell, second annotations, reviews."""

import dataclasses
import uuid
from collections import Counter
from pathlib import Path

import pytest
from engine.annotations.store_test import add, fields, mask
from engine.annotations.tasks_test import Clock

from samjax.engine.annotations import AnnotationStore
from samjax.engine.annotations.errors import LeaseLost
from samjax.engine.annotations.team import RESERVED, TeamQueue, TeamRules
from samjax.engine.sources import PROPOSED

IMAGES = [f"{number:02d}.png" for number in range(40)]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "annotations.sqlite3"


@pytest.fixture
def store(path, clock):
    made = AnnotationStore(path, clock)
    yield made
    made.close()


@pytest.fixture
def team(store, clock):
    def make(**rules) -> TeamQueue:
        return TeamQueue(store.database, TeamRules(**rules), clock, lease_seconds=100.0)

    return make


def work(queue: TeamQueue, person: str, count: int, clock: Clock) -> list:
    """Claims and finishes tasks, and returns them as they were claimed."""
    tasks = []
    for _ in range(count):
        task = queue.claim(person)
        if task is None:
            break
        tasks.append(task)
        clock.wait(1)
        queue.finish(task.id, person)
    return tasks


def test_a_share_of_what_people_get_is_gold_each_image_once(team, clock):
    gold = tuple(f"{number:02d}.png" for number in range(0, 40, 5))
    queue = team(gold=0.25, gold_images=gold)
    assert queue.add(IMAGES) == 32
    had = {name: work(queue, name, 12, clock) for name in ("ada", "bob")}
    for tasks in had.values():
        images = Counter(task.image for task in tasks)
        assert max(images.values()) == 1 and len(tasks) == 12
        assert 0 < sum(task.purpose == "gold" for task in tasks) < 8
        assert all((task.purpose == "gold") == (task.image in gold) for task in tasks)
        # What makes a task apart has a layer of its own.
        assert all((task.layer != 0) == (task.purpose == "gold") for task in tasks)
    work_images = [t.image for ts in had.values() for t in ts if t.purpose == "work"]
    assert len(set(work_images)) == len(work_images)


def test_nothing_that_a_person_sees_tells_a_gold_task(team, clock):
    queue = team(gold=0.3, gold_images=("g1.png", "g2.png", "g3.png"))
    queue.add(IMAGES)
    tasks = work(queue, "ada", 20, clock)
    hidden = {"id", "image", "purpose", "layer", "lease_until", "revision"}
    seen = [
        tuple(
            getattr(task, field.name)
            for field in dataclasses.fields(task)
            if field.name not in hidden
        )
        for task in tasks
    ]
    assert {task.purpose for task in tasks} == {"work", "gold"} and len(set(seen)) == 1
    # Ids are random: in no order, neither among all nor between the two.
    ids = [task.id for task in tasks]
    assert ids != sorted(ids) and ids != sorted(ids, reverse=True)
    gold = [task.id for task in tasks if task.purpose == "gold"]
    others = [task.id for task in tasks if task.purpose == "work"]
    assert min(others) < max(gold) and min(gold) < max(others)


def test_gold_is_given_to_nobody_else_and_not_as_the_last(team, clock):
    queue = team(gold=1.0, gold_images=("g1.png", "g2.png"))
    queue.add(IMAGES[:1])
    first = queue.claim("ada")
    assert first.purpose == "gold"
    clock.wait(1000)
    other = queue.claim("bob")
    assert other.purpose == "gold" and other.id != first.id
    # A lapsed one goes on, and one given back comes again.
    assert queue.claim("ada").id == first.id
    queue.give_back(first.id, "ada")
    again = queue.claim("ada")
    assert (again.id, again.image) == (first.id, first.image)
    queue.finish(first.id, "ada", "flagged", "odd")
    assert queue.reopen(first.id, "it is fine").assignee == "ada"
    assert queue.claim("ada").id == first.id
    queue.finish(first.id, "ada")
    queue.finish(queue.claim("ada").id, "ada")
    last = queue.claim("ada")
    assert last.image == IMAGES[0]
    queue.finish(last.id, "ada")
    assert queue.claim("ada") is None and queue.next_gold("eve") is not None
    assert queue.claim("eve") is None


def test_a_share_of_the_images_is_handed_out_twice_to_different_people(team, clock):
    queue = team(agreement=0.5, review=0.0)
    queue.add(IMAGES)
    had = {name: work(queue, name, 99, clock) for name in ("ada", "bob")}
    counts = Counter(task.image for tasks in had.values() for task in tasks)
    assert set(counts) == set(IMAGES) and 10 < sum(n == 2 for n in counts.values()) < 30
    assert max(counts.values()) == 2
    for tasks in had.values():
        assert max(Counter(task.image for task in tasks).values()) == 1
    assert work(queue, "eve", 99, clock) == []


def test_a_review_goes_to_another_person_and_ends_with_a_verdict(team, store, clock):
    queue = team()
    queue.add(IMAGES[:1])
    task = queue.claim("ada")
    add(store, image=task.image, author="ada")
    queue.finish(task.id, "ada")
    assert queue.claim("ada", ["verify"]) is None and not queue.has("ada", "verify")
    review = queue.claim("rex", ["verify"])
    assert (review.image, review.subject) == (task.image, task.id)
    with pytest.raises(ValueError, match="expected a verdict"):
        queue.finish(review.id, "rex")
    with pytest.raises(LeaseLost):
        queue.review(review.id, "eve", "accepted")
    assert queue.review(review.id, "rex", "accepted").state == "done"
    assert queue.review(review.id, "rex", "accepted").state == "done"
    assert verdicts(store) == [("ada", "rex", "accepted", "")]


def test_an_image_without_masks_is_not_reviewed_by_who_finished_it(team):
    queue = team()
    queue.add(IMAGES[:1])
    queue.finish(queue.claim("ada").id, "ada")
    assert queue.claim("ada", ["verify"]) is None
    assert queue.claim("rex", ["verify"]) is not None


def test_what_the_reviewer_changes_is_a_new_version_and_the_verdict_fixed(team, store):
    queue = team()
    queue.add(IMAGES[:1])
    task = queue.claim("ada")
    made = add(store, image=task.image, author="ada")
    queue.finish(task.id, "ada")
    review = queue.claim("rex", ["verify"])
    fields = {"label": "cat", "author": "rex"}
    store.change(made["id"], made["revision"], fields)
    queue.review(review.id, "rex", "accepted")
    assert verdicts(store) == [("ada", "rex", "fixed", "")]
    assert [v["author"] for v in store.history(made["id"])] == ["ada", "rex"]


def test_a_deletion_by_the_reviewer_is_a_fix(team, store):
    queue = team()
    queue.add(IMAGES[:1])
    task = queue.claim("ada")
    made = add(store, image=task.image, author="ada")
    queue.finish(task.id, "ada")
    review = queue.claim("rex", ["verify"])
    store.delete(made["id"], made["revision"], "rex")
    queue.review(review.id, "rex", "accepted")
    assert verdicts(store)[0][2] == "fixed"


def test_a_returned_image_goes_first_to_who_made_it_with_the_note(team, clock):
    queue = team()
    queue.add(IMAGES[:5])
    task = queue.claim("ada")
    queue.finish(task.id, "ada")
    review = queue.claim("rex", ["verify"])
    with pytest.raises(ValueError, match="got no note"):
        queue.review(review.id, "rex", "returned", " ")
    queue.review(review.id, "rex", "returned", "the tail is missing")
    assert queue.claim("bob").id != task.id
    again = queue.claim("ada")
    assert (again.id, again.note) == (task.id, "the tail is missing")
    queue.finish(again.id, "ada")
    second = queue.claim("rex", ["verify"])
    assert second.subject == task.id and second.id != review.id
    queue.review(second.id, "rex", "returned", "still")
    # Who made it has not come for a day.
    clock.wait(RESERVED + 1)
    queue.claim("bob")
    taken = {queue.claim(name).id for name in ("eve", "fay", "gus")}
    assert task.id in taken


def test_a_share_of_the_images_is_reviewed_and_no_gold_or_second_one(team, clock):
    queue = team(review=0.5, agreement=0.5, gold=0.2, gold_images=("g.png",))
    queue.add(IMAGES)
    for name in ("ada", "bob"):
        work(queue, name, 99, clock)
    count = queue.counts()[("verify", "open")]
    assert 10 < count < 30
    images = queue.upcoming(99, ["verify"])
    assert len(set(images)) == count and "g.png" not in images


def test_people_have_the_layers_of_their_tasks(team, clock):
    queue = team(gold=1.0, gold_images=("g.png",))
    queue.add(IMAGES[:2])
    gold = queue.claim("ada")
    assert queue.layers("ada") == {"g.png": gold.id}
    assert queue.layers("bob") == {}
    assert queue.layers("ada", IMAGES[0]) == {}
    queue.finish(gold.id, "ada")
    clock.wait(1)
    work_task = queue.claim("ada")
    assert queue.layers("ada") == {"g.png": gold.id, work_task.image: 0}


def verdicts(store) -> list[tuple]:
    with store.database.connection() as connection:
        rows = connection.execute(
            "SELECT annotator, reviewer, verdict, note FROM reviews ORDER BY id"
        ).fetchall()
    return [tuple(row) for row in rows]


@pytest.mark.parametrize(
    ("rules", "reviewed", "accepted", "share"),
    [
        ({}, 50, 50, 1.0),
        ({"least_review": 0.1}, 0, 0, 1.0),
        ({"least_review": 0.1}, 10, 5, 1.0),
        ({"least_review": 0.1}, 10, 0, 1.0),
        ({"least_review": 0.1}, 18, 18, 0.1 + 0.9 * 0.1),
        ({"review": 0.5, "least_review": 0.1}, 18, 18, 0.1 + 0.4 * 0.1),
        # It never rises above the share of the project.
        ({"review": 0.2, "least_review": 0.9}, 18, 18, 0.2),
        ({"review": 0.0}, 0, 0, 0.0),
    ],
)
def test_the_share_of_reviews_falls_with_accepted_images(
    rules, reviewed, accepted, share
):
    assert TeamRules(**rules).review_share(reviewed, accepted) == pytest.approx(share)


def test_who_is_accepted_is_reviewed_less_and_who_is_returned_more(team, clock):
    queue = team(least_review=0.0)
    queue.add(IMAGES)
    reviewed = Counter()
    for _ in range(len(IMAGES) // 2):
        for person in ("ada", "bob"):
            work(queue, person, 1, clock)
            while (task := queue.claim("rex", ["verify"])) is not None:
                made = queue.get(task.subject).assignee
                reviewed[made] += 1
                clock.wait(1)
                if made == "ada":
                    queue.review(task.id, "rex", "accepted")
                    continue
                queue.review(task.id, "rex", "returned", "again")
                again = queue.claim("bob")
                queue.finish(again.id, "bob")
                task = queue.claim("rex", ["verify"])
                if task is not None:
                    queue.review(task.id, "rex", "accepted")
    assert reviewed["ada"] < 10 < reviewed["bob"]


def see(store: AnnotationStore, queue: TeamQueue, task) -> list[dict]:
    layer = queue.layers(task.assignee, task.image)[task.image]
    return store.changes(task.image, layer=layer)[1]


def is_version_5(row: dict) -> bool:
    return uuid.UUID(row["uuid"]).version == 5


def test_the_second_person_gets_the_proposals_of_the_first_as_they_were(
    store, team, clock
):
    queue = team(agreement=1.0)
    queue.add(["a.png"])
    names = [str(uuid.uuid5(uuid.NAMESPACE_URL, str(number))) for number in range(4)]
    shown = [add(store, name, source=PROPOSED) for name in names]
    store.withdraw(shown[3]["id"], shown[3]["revision"])
    clock.wait(60)
    first = queue.claim("ada")
    store.delete(shown[0]["id"], shown[0]["revision"], author="ada")
    taken = {"source": "proposal", "author": "ada", "label": "cup"}
    store.change(shown[1]["id"], shown[1]["revision"], taken)
    add(store, "drawn", author="ada")
    queue.finish(first.id, "ada")
    second = queue.claim("bob")
    rows = see(store, queue, second)
    own = {"id", "uuid", "revision"}
    seen, expected = (
        [{key: row[key] for key in row if key not in own} for row in several]
        for several in (rows, shown[:3])
    )
    assert seen == expected and all(map(is_version_5, rows))
    # Once: what the person rejected does not return with the task.
    for row in rows:
        store.delete(row["id"], row["revision"], author="bob")
    queue.give_back(second.id, "bob")
    assert queue.claim("bob").id == second.id and not see(store, queue, second)


def test_proposals_on_gold_images_wait_apart_for_each_task(store, team):
    queue = team(gold=1.0, gold_images=("g.png",))
    queue.add(["a.png", "b.png", "c.png"])
    trusted = add(store, "trusted", "g.png", author="owner")
    waiting = {
        layer: store.add(
            "g.png",
            str(uuid.uuid5(uuid.NAMESPACE_URL, f"waiting {layer}")),
            mask(),
            fields(source=PROPOSED),
            layer,
        )[0]
        for layer in (-1, -2)
    }
    tasks = [queue.claim(name) for name in ("ada", "bob", "eve")]
    assert {task.purpose for task in tasks} == {"gold"}
    seen = [see(store, queue, task) for task in tasks]
    # The first one is there as it was stored, and so its id is no later than others.
    assert seen[0] == [waiting[-2]]
    # The last one is kept, for people who come later.
    assert store.changes("g.png", layer=-1)[1] == [waiting[-1]]
    for rows in seen[1:]:
        assert [row["created"] for row in rows] == [waiting[-1]["created"]]
        assert is_version_5(rows[0]) and rows[0]["uuid"] != waiting[-1]["uuid"]
    # Neither the owner nor an export sees them among the trusted masks.
    assert store.changes("g.png")[1] == [trusted] == store.snapshot()[1]
