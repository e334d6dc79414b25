"""Proposals in the store: once, not over what people made, not after they were deleted."""

import dataclasses
import json

import numpy as np
import pytest
from engine.rounds.conftest import add_mask, draw, make_project

from samjax.engine.annotations.people import People
from samjax.engine.annotations.team import TeamQueue, TeamRules
from samjax.engine.proposer.annotated import EmbeddingFolder
from samjax.engine.proposer.confidence import NUM_FEATURES, Confidence
from samjax.engine.proposer.fitted import Proposer
from samjax.engine.proposer.prompting import GridPrompts
from samjax.engine.rounds.proposing import (
    annotated_images,
    open_images,
    propose_into_store,
)
from samjax.engine.sources import is_by_people
from samjax.geometry.masks import decode_rle
from samjax.inference.embedding import weights_fingerprint


@pytest.fixture
def proposer(predictor):
    weights = np.zeros(NUM_FEATURES)
    weights[0] = 1.0
    return Proposer(
        model=weights_fingerprint(predictor.model.config, predictor.params),
        confidence=Confidence(
            np.zeros(NUM_FEATURES), np.ones(NUM_FEATURES), weights, 0.0
        ),
        threshold=0.0,
        precision=0.9,
        iou=0.75,
        points=4,
    )


def propose(project, predictor, proposer, names, **options):
    store = project.open_store()
    embeddings = EmbeddingFolder(project.state / "embeddings", predictor)
    done = propose_into_store(
        project,
        store,
        names,
        predictor,
        proposer,
        embeddings,
        round=2,
        source=GridPrompts(),
        **options,
    )
    done = {image.image: image for image in done}
    _, rows = store.snapshot()
    store.close()
    return done, [row for row in rows if row["source"] == "proposed"]


def test_open_images_are_those_of_open_tasks(project):
    store = project.open_store()
    assert open_images(project, store) == ["image-12.png", "image-13.png"]
    store.close()
    names = [image.name for image in annotated_images(project)]
    assert names == [f"image-{number:02d}.png" for number in range(12)]


def test_proposals_are_stored_once_and_are_nobodys(project, predictor, proposer):
    done, rows = propose(project, predictor, proposer, ["image-12.png"])
    assert done["image-12.png"].count == len(rows) > 0
    for row in rows:
        assert (row["stage"], row["round"], row["author"]) == (2, 2, "")
        assert row["model"] == proposer.model and not is_by_people(row)
        assert row["active_seconds"] is None and row["clicks"] is None
    _, again = propose(project, predictor, proposer, ["image-12.png"])
    assert again == rows


def team_of(project, store, **rules) -> TeamQueue:
    """Returns the queue of a team in which image-11.png is gold, and its settings."""
    settings = {"gold_share": 1.0, "gold_images": ["image-11.png"]}
    project.settings.write_text(json.dumps(settings))
    return TeamQueue(store.database, TeamRules(**rules))


def shapes(rows) -> set[str]:
    return {row["segmentation"]["counts"] for row in rows}


def test_gold_images_are_proposed_on_without_a_look_at_their_masks(
    project, tmp_path, predictor, proposer
):
    # The same image without any mask.
    other = make_project(tmp_path / "other")
    (other.images / "image-11.png").replace(other.images / "image-13.png")
    _, expected = propose(other, predictor, proposer, ["image-13.png"])
    store = project.open_store()
    # A trusted mask that the proposals have too, of which elsewhere none would be shown.
    add_mask(store, "image-11.png", decode_rle(expected[0]["segmentation"]))
    for name in ("Ada", "Bob"):
        People(store.database).add(name, "annotator")
    queue = team_of(project, store, gold=1.0, gold_images=("image-11.png",))
    names = open_images(project, store)
    assert names == ["image-12.png", "image-11.png", "image-13.png"]
    for _ in range(2):
        propose(project, predictor, proposer, names)
        for layer in (-1, -2):
            rows = store.changes("image-11.png", layer=layer)[1]
            assert len(rows) == len(expected) and shapes(rows) == shapes(expected)
        assert not store.changes("image-11.png", layer=-3)[1]
        assert all(map(is_by_people, store.changes("image-11.png")[1]))
    task = queue.claim("Bob")
    layer = queue.layers("Bob", task.image)[task.image]
    assert task.purpose == "gold"
    # A layer that was given away is filled again for the next person, and one of a person
    # who has left does not keep proposals of an older model.
    old = {"source": "proposed", "stage": 2, "model": "old", "author": ""}
    kept = add_mask(store, task.image, draw(3)[1][0], **old)
    with store.database.writing() as write:
        write.execute("UPDATE annotations SET layer = -9 WHERE id = ?", (kept["id"],))
    propose(project, predictor, proposer, names)
    for own in (layer, -2, -9):
        assert shapes(store.changes(task.image, layer=own)[1]) == shapes(expected)
    store.close()
    learnt = [image.name for image in annotated_images(project)]
    assert "image-11.png" not in learnt and len(learnt) == 11


def test_two_people_on_an_image_get_the_same_proposals(project, predictor, proposer):
    store = project.open_store()
    queue = team_of(project, store, agreement=1.0)
    # The open tasks of the project, before those of another round.
    while (task := queue.claim("Eve")) is not None:
        queue.finish(task.id, "Eve")
    queue.add(["image-13.png"], round=1)
    propose(project, predictor, proposer, open_images(project, store))
    tasks = [queue.claim("Ada"), queue.claim("Bob")]
    assert [task.purpose for task in tasks] == ["work", "agreement"]
    own, others = (store.changes(task.image, layer=task.layer)[1] for task in tasks)
    assert own and shapes(own) == shapes(others) and len(own) == len(others)
    # Bob has begun: Ada gets no newer ones when her lease has ended.
    queue.give_back(tasks[0].id, "Ada")
    assert "image-13.png" not in open_images(project, store)
    store.close()


def test_a_deleted_proposal_does_not_return_and_a_changed_one_stays(
    project, predictor, proposer
):
    _, rows = propose(project, predictor, proposer, ["image-12.png"])
    store = project.open_store()
    store.delete(rows[0]["id"], rows[0]["revision"])
    changed = store.change(rows[1]["id"], rows[1]["revision"], {"source": "proposal"})
    store.close()
    assert is_by_people(changed)
    _, after = propose(project, predictor, proposer, ["image-12.png"])
    assert [row["id"] for row in after] == [row["id"] for row in rows[2:]]


def test_proposals_of_an_older_model_give_way_to_new_ones(project, predictor, proposer):
    mask = draw(12)[1][0]
    store = project.open_store()
    old = {"source": "proposed", "stage": 2, "model": "old", "author": ""}
    add_mask(store, "image-12.png", mask, **old)
    kept = add_mask(store, "image-12.png", mask[::-1], **{**old, "source": "proposal"})
    store.close()
    _, rows = propose(project, predictor, proposer, ["image-12.png"])
    assert {row["model"] for row in rows} == {proposer.model}
    # What a person took is no proposal any more, and has no duplicate.
    own = decode_rle(kept["segmentation"])
    for row in rows:
        other = decode_rle(row["segmentation"])
        assert (own & other).sum() <= 0.7 * (own | other).sum()


@pytest.mark.parametrize("decision", ["delete", "withdraw"])
def test_what_a_person_rejected_is_not_proposed_by_another_model(
    project, tmp_path, predictor, proposer, decision
):
    _, rows = propose(project, predictor, proposer, ["image-12.png"])
    mask = decode_rle(rows[0]["segmentation"])
    # Nearly the same, so that it has another name.
    mask[:, np.flatnonzero(mask.any(0))[-1]] = False
    other = make_project(tmp_path / "other")
    store = other.open_store()
    old = {"source": "proposed", "stage": 2, "model": "old", "author": ""}
    added = add_mask(store, "image-12.png", mask, **old)
    getattr(store, decision)(added["id"], added["revision"])
    store.close()
    _, after = propose(other, predictor, proposer, ["image-12.png"])
    uuids = [row["uuid"] for row in after]
    assert (rows[0]["uuid"] in uuids) == (decision == "withdraw")


def test_without_a_threshold_nothing_is_proposed(project, predictor, proposer):
    without = dataclasses.replace(proposer, threshold=None)
    done, rows = propose(project, predictor, without, ["image-12.png"])
    assert done["image-12.png"].count == 0 and not rows


def test_an_image_that_cannot_be_read_is_named_and_passed_over(
    project, predictor, proposer
):
    (project.images / "image-12.png").write_bytes(b"no image")
    done, rows = propose(project, predictor, proposer, ["image-12.png", "image-13.png"])
    assert done["image-12.png"].problem and done["image-13.png"].problem is None
    assert {row["image"] for row in rows} == {"image-13.png"}


def test_names_that_lead_out_of_the_project_are_refused(tmp_path):
    project = make_project(tmp_path / "project")
    (tmp_path / "secret.png").write_bytes(b"secret")
    with pytest.raises(ValueError, match="expected one in"):
        project.read("../../secret.png")
