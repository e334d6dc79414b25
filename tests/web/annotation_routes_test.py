"""Masks through HTTP: stored once, changed by who saw them, deleted and restored."""

import numpy as np
import pytest
from web.conftest import code_of, list_images

from samjax.engine.annotations import errors
from samjax.geometry.masks import encode_rle
from samjax.web.services import DATABASE
from samjax.web.stored_annotations import refusal_of

SIZE = (24, 32)


def annotation(uuid="0123-4567", size=SIZE, **changes):
    return {"uuid": uuid, "segmentation": encode_rle(np.ones(size, bool)), **changes}


@pytest.fixture
def masks(ids) -> str:
    """Where the masks of an image of 24 x 32 are."""
    return f"/api/v1/images/{ids['sub/photo.png']}/annotations"


@pytest.fixture
def one(client, masks) -> dict:
    response = client.post(masks, json=annotation(label="cat"))
    assert response.status_code == 201, response.text
    return response.json()


def change(client, one, revision=None, **changes):
    seen = one["revision"] if revision is None else revision
    path = f"/api/v1/annotations/{one['id']}"
    return client.patch(path, json=changes, headers={"If-Match": f'"{seen}"'})


def test_a_mask_is_stored_with_what_is_known_of_it(client, masks, one, ids):
    assert (one["area"], one["bbox"]) == (24 * 32, [0, 0, 31, 23])
    assert one["image_id"] == ids["sub/photo.png"]
    assert (one["label"], one["source"], one["author"]) == ("cat", "click", "")
    assert one["prompts"]["points"] == [] and one["created"].endswith("+00:00")
    content = client.get(masks).json()
    assert content == {
        "revision": one["revision"],
        "annotations": [one],
        "deleted": [],
    }
    counts = {image["name"]: image["annotations"] for image in list_images(client)}
    assert counts["sub/photo.png"] == 1 and counts["img2.png"] == 0
    assert client.get("/api/v1/info").json()["labels"] == ["cat"]


def test_sending_a_mask_again_stores_it_once(client, masks, one):
    again = client.post(masks, json=annotation(label="cat"))
    assert (again.status_code, again.json()) == (200, one)
    assert len(client.get(masks).json()["annotations"]) == 1


def test_two_who_saw_the_same_revision_do_not_overwrite_each_other(client, masks, one):
    first = change(client, one, label="dog")
    assert first.status_code == 200
    assert first.headers["etag"] == f'"{first.json()["revision"]}"'
    late = change(client, one, label="bird")
    assert late.status_code == 409
    content = late.json()
    assert content.pop("annotation") == first.json()
    assert content["error"]["code"] == "changed"
    assert client.get(masks).json()["annotations"] == [first.json()]
    path = f"/api/v1/annotations/{one['id']}"
    late = client.delete(path, headers={"If-Match": str(one["revision"])})
    assert late.status_code == 409
    assert client.get(masks).json()["annotations"] == [first.json()]


def test_a_change_names_the_revision_that_was_seen(client, one):
    path = f"/api/v1/annotations/{one['id']}"
    for response in (client.patch(path, json={"label": "x"}), client.delete(path)):
        assert response.status_code == 428
        assert code_of(response) == "precondition_required"
    for tag in ("*", '"x"', "-1", "9" * 50, ""):
        response = client.delete(path, headers={"If-Match": tag})
        assert response.status_code in (409, 422)


def test_only_what_is_named_changes(client, one):
    smaller = np.zeros(SIZE, bool)
    smaller[3, 4] = True
    changed = change(client, one, segmentation=encode_rle(smaller), score=0.5).json()
    assert (changed["area"], changed["bbox"]) == (1, [4, 3, 0, 0])
    assert (changed["label"], changed["score"]) == ("cat", 0.5)
    cleared = change(client, changed, score=None, level="part").json()
    assert (cleared["score"], cleared["level"], cleared["area"]) == (None, "part", 1)
    for wrong in (
        {"label": None},
        {"uuid": "abcdefgh"},
        {"area": 3},
        {"edited": "no?"},
    ):
        response = change(client, cleared, **wrong)
        assert response.status_code == 422 and code_of(response) == "invalid"


def test_a_deleted_mask_can_be_restored(client, masks, one):
    path = f"/api/v1/annotations/{one['id']}"
    seen = {"If-Match": f'"{one["revision"]}"'}
    assert client.delete(path, headers=seen).status_code == 204
    content = client.get(masks, params={"since": one["revision"]}).json()
    assert (content["annotations"], content["deleted"]) == ([], [one["id"]])
    assert client.delete(path, headers=seen).status_code == 204
    response = change(client, one, label="x")
    assert response.status_code == 404 and code_of(response) == "deleted"
    restored = client.post(f"{path}/restore")
    assert restored.status_code == 200
    assert restored.json()["segmentation"] == one["segmentation"]
    assert client.get(masks).json()["annotations"] == [restored.json()]


@pytest.mark.parametrize("number", ["1000", "0", "-1", "9" * 30, "x", "1.5", "%00"])
def test_an_unknown_annotation_is_an_error_and_no_crash(client, number):
    path = f"/api/v1/annotations/{number}"
    seen = {"If-Match": '"1"'}
    for response in (
        client.patch(path, json={}, headers=seen),
        client.delete(path, headers=seen),
        client.post(f"{path}/restore"),
    ):
        assert response.status_code in (404, 422)
        assert code_of(response) in ("not_found", "invalid")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"segmentation": encode_rle(np.ones((32, 24), bool))}, "the image's [24, 32]"),
        ({"segmentation": {"size": [24, 32], "counts": "12"}}, "do not add up"),
        ({"segmentation": {"size": [24, 32], "counts": ""}}, "do not add up"),
        ({"segmentation": {"size": [24, 32], "counts": "\N{DOG}"}}, "run lengths"),
        ({"segmentation": {"size": [24, 32], "counts": [768]}}, "string"),
        ({"segmentation": {"size": [24.5, 32], "counts": "12"}}, "integer"),
        ({"segmentation": None}, "segmentation"),
        ({"uuid": "../../etc"}, "uuid"),
        ({"uuid": "x" * 100}, "uuid"),
        ({"label": "x" * 1000}, "200"),
        ({"label": "a\0b"}, "label"),
        ({"source": "guess"}, "source"),
        ({"score": 1e9}, "score"),
        ({"seconds": -1}, "seconds"),
        ({"prompts": {"points": [[1, 2]] * 1000}}, "256"),
        ({"prompts": {"more": 1}}, "more"),
        ({"more": 1}, "more"),
    ],
)
def test_a_mask_that_cannot_be_one_is_refused(client, masks, changes, said):
    response = client.post(masks, json=annotation() | changes)
    assert response.status_code == 422
    assert code_of(response) == "invalid"
    assert said in response.json()["error"]["message"]
    assert client.get(masks).json()["annotations"] == []


def test_numbers_that_are_none_are_refused(client, masks):
    import json

    kind = {"content-type": "application/json"}
    for value in ("NaN", "Infinity", "-Infinity", "1e999"):
        body = json.dumps(annotation())[:-1] + f', "score": {value}}}'
        response = client.post(masks, content=body, headers=kind)
        assert response.status_code == 422 and code_of(response) == "invalid"


def test_a_form_of_another_page_is_no_json(client, masks):
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        response = client.post(masks, content=b"{}", headers={"content-type": kind})
        assert response.status_code == 422
    assert client.get(masks).json()["annotations"] == []


def test_a_database_that_fails_is_said_and_nothing_is_half_done(
    client, masks, monkeypatch, caplog
):
    import sqlite3

    def fail(self, *arguments):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr("samjax.engine.annotations.AnnotationStore.add", fail)
    response = client.post(masks, json=annotation())
    assert response.status_code == 503 and code_of(response) == "storage"
    assert "full" in caplog.text


def test_every_error_of_the_store_has_a_refusal():
    (*_, replaced) = kinds = errors.AnnotationError.__subclasses__()
    assert replaced is errors.DatabaseReplaced
    for kind in kinds:
        stored = [{"id": 1, "image": "a.png"}] * (kind is errors.RevisionConflict)
        refusal = refusal_of(kind("what was got", *stored), dict)
        assert refusal.message == "what was got"
        assert refusal.status in (404, 409, 503)


def test_masks_are_refused_when_their_database_was_replaced(client, masks, settings):
    assert client.post(masks, json=annotation()).status_code == 201
    (settings.state / DATABASE).unlink()
    for response in (
        client.post(masks, json=annotation("other-uuid")),
        client.get(masks),
    ):
        assert response.status_code == 503 and code_of(response) == "storage"
