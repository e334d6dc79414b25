"""People of a team: tokens that only their holders have, and names that can be deleted."""

import sqlite3
from pathlib import Path

import pytest
from engine.annotations.store_test import add

from samjax.engine.annotations import AnnotationStore
from samjax.engine.annotations.mask_reviews import MaskReviews
from samjax.engine.annotations.people import People, find_person, token_hash
from samjax.engine.annotations.regions import Regions
from samjax.engine.annotations.tasks import TaskQueue


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "annotations.sqlite3"


@pytest.fixture
def store(path):
    made = AnnotationStore(path)
    yield made
    made.close()


@pytest.fixture
def people(store) -> People:
    return People(store.database)


def test_a_token_finds_its_person_and_is_stored_nowhere(people, store, path):
    tokens = {
        name: people.add(name, role)
        for name, role in (("Ada", "owner"), ("Bob", "annotator"), ("Eve", "reviewer"))
    }
    assert len(set(tokens.values())) == 3 and all(len(t) > 40 for t in tokens.values())
    for name, token in tokens.items():
        found = find_person(token, people.hashes())
        assert found is not None and found.name == name
    for wrong in ("", "x", tokens["Ada"][:-1], tokens["Ada"] + "x", "ä\udcff"):
        assert find_person(wrong, people.hashes()) is None
    assert find_person(token_hash(tokens["Ada"]), people.hashes()) is None
    store.close()
    for file in path.parent.iterdir():
        for token in tokens.values():
            assert token.encode() not in file.read_bytes()


def test_a_new_token_ends_the_old_one(people):
    old = people.add("Ada", "owner")
    new = people.renew("Ada")
    assert find_person(old, people.hashes()) is None
    assert find_person(new, people.hashes()) is not None
    with pytest.raises(ValueError, match="expected one of the team's people: Ada"):
        people.renew("Bob")


@pytest.mark.parametrize("name", ["", " ", "a\nb", "x" * 101, "person-7", "other-1"])
def test_names_that_are_none_are_refused(people, name):
    with pytest.raises(ValueError, match="got the name"):
        people.add(name, "annotator")


def test_a_name_is_given_once(people):
    people.add("Ada", "owner")
    with pytest.raises(ValueError, match="which a person has"):
        people.add(" Ada ", "annotator")


def test_roles_have_the_rights_of_those_below(people):
    for name in ("annotator", "reviewer", "owner"):
        people.add(name.title(), name)
    rights = [
        [p.may(r) for r in ("annotator", "reviewer", "owner")] for p in people.all()
    ]
    assert rights == [[True, False, False], [True, True, False], [True, True, True]]


def test_a_removed_name_is_in_no_byte_of_the_files_and_the_work_stays(
    people, store, path
):
    name = "Ada Lovelace of Ockham"
    token = people.add(name, "annotator")
    made = add(store, author=name, label="cat")
    store.change(made["id"], made["revision"], {"label": "dog"})
    tasks = TaskQueue(store.database)
    tasks.add(["a.png", "b.png"])
    first = tasks.claim(name)
    assert first is not None
    tasks.finish(first.id, name, "flagged", f"ask {name}, not Adam")
    tasks.claim(name)
    regions = Regions(store.database)
    for uuid in ("region-1", "region-2"):
        regions.add("a.png", uuid, (0.0, 0.0, 4.0, 4.0), name)
    regions.remove("region-2", name)
    other = add(store, "uuid-other", "c.png", author="Bob")
    tasks.add(["c.png"], "verify", round=1)
    review = tasks.claim(name, ["verify"])
    assert review is not None
    judged = (other["id"], other["revision"])
    MaskReviews(store.database).add(review.id, name, *judged, "returned", f"by {name}")
    tasks.give_back(review.id, name)
    # Many more pages, so that parts of the name are in the middle of others.
    for number in range(200):
        add(store, f"uuid-{number:04d}", author=name if number % 2 else "Bob")
    assert people.remove(name) == "person-1"
    assert find_person(token, people.hashes()) is None
    assert {v["author"] for v in store.history(made["id"])} == {"person-1"}
    assert tasks.get(first.id).note == "ask person-1, not Adam"
    counts = {
        ("annotate", "flagged"): 1,
        ("annotate", "open"): 1,
        ("verify", "open"): 1,
    }
    assert tasks.counts() == counts
    assert [region.author for region in regions.all()] == ["person-1"]
    assert people.pseudonyms() == {"": "", "person-1": "person-1", "Bob": "other-1"}
    for file in path.parent.iterdir():
        assert b"Lovelace" not in file.read_bytes(), file.name
    with pytest.raises(ValueError, match="nobody yet"):
        people.remove(name)
    assert people.add("Eve", "owner") and people.all()[-1].pseudonym == "person-2"


def test_a_part_of_a_word_is_no_name(people, store):
    people.add("Al", "annotator")
    tasks = TaskQueue(store.database)
    tasks.add(["a.png"])
    task = tasks.claim("Al")
    assert task is not None
    tasks.finish(task.id, "Al", "skipped", "Also Al: all, Al-Din")
    people.remove("Al")
    assert tasks.get(task.id).note == "Also person-1: all, person-1-Din"


def test_a_person_of_another_process_is_known(people, path):
    people.add("Ada", "owner")
    connection = sqlite3.connect(path)
    connection.execute(
        "INSERT INTO people (name, role, token, created) VALUES ('Bob', 'owner', ?, '')",
        (token_hash("secret"),),
    )
    connection.commit()
    connection.close()
    found = find_person("secret", people.hashes())
    assert found is not None and found.name == "Bob"
