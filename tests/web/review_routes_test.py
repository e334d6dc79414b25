"""Reviews mask by mask, versions of masks and regions to blur, through the API."""

import pytest
from web.conftest import code_of
from web.team_server import (
    API,
    add_mask,
    box,
    claim,
    finish,
    review,
)


@pytest.fixture
def begun(make_server):
    """Two masks of ada's, whose review rex has begun."""

    def begin(**project):
        server = make_server(**project)
        ada, rex = server.client("ada"), server.client("rex")
        task = claim(ada).json()
        masks = [
            add_mask(ada, task["image_id"], f"uuid-000{n}", box(0, n, 9, n + 9)).json()
            for n in range(2)
        ]
        finish(ada, task)
        return server, claim(rex, "verify").json(), masks

    return begin


def judge(client, task, mask, verdict, note="", revision=None):
    body = {"task": task["id"], "revision": revision or mask["revision"]}
    body |= {"verdict": verdict, "note": note}
    return client.post(f"{API}/annotations/{mask['id']}/review", json=body)


def reviews_of(client, task):
    response = client.get(f"{API}/images/{task['image_id']}/reviews")
    return {r["annotation"]: r for r in response.json()["reviews"]}


def change(client, mask, **fields):
    match = {"If-Match": str(mask["revision"])}
    path = f"{API}/annotations/{mask['id']}"
    return client.patch(path, json=fields, headers=match)


def test_masks_are_accepted_returned_with_a_note_or_fixed(begun):
    server, task, (first, second) = begun()
    ada, rex = server.client("ada"), server.client("rex")
    assert judge(rex, task, first, "returned").status_code == 422
    assert judge(rex, task, first, "returned", "no handle").status_code == 204
    fixed = change(rex, second, segmentation=box(0, 1, 9, 12)).json()
    stale = judge(rex, task, second, "accepted")
    assert (stale.status_code, code_of(stale)) == (409, "changed")
    assert judge(rex, task, fixed, "accepted").status_code == 204
    own = reviews_of(rex, task)
    verdicts = {mask: (r["verdict"], r["note"]) for mask, r in own.items()}
    assert verdicts == {
        first["id"]: ("returned", "no handle"),
        second["id"]: ("fixed", ""),
    }
    # The person who made them sees them once the review has ended.
    assert reviews_of(ada, task) == {}
    refused = review(rex, task, "accepted")
    assert refused.status_code == 422 and "1 masks are returned" in refused.text
    assert review(rex, task, "returned", "see the masks").status_code == 200
    again = claim(ada).json()
    assert reviews_of(ada, again) == own
    # A verdict is on one version: a changed mask has none.
    assert change(ada, first, segmentation=box(0, 0, 9, 11)).status_code == 200
    assert list(reviews_of(ada, again)) == [second["id"]]


def test_a_verdict_is_taken_back_and_nothing_is_overwritten(begun):
    server, task, (mask, _) = begun()
    rex = server.client("rex")
    for verdict, note in (("returned", "no"), ("open", ""), ("accepted", "")):
        assert judge(rex, task, mask, verdict, note).status_code == 204
    assert reviews_of(rex, task)[mask["id"]]["verdict"] == "accepted"
    judge(rex, task, mask, "open")
    assert reviews_of(rex, task) == {}
    assert review(rex, task, "accepted").status_code == 200
    with server.services.store.database.connection() as connection:
        rows = connection.execute("SELECT verdict FROM mask_reviews").fetchall()
    assert [row[0] for row in rows] == ["returned", "open", "accepted", "open"]


def test_verdicts_are_for_the_reviewer_who_has_the_image(begun):
    server, task, (mask, _) = begun()
    ada, rex, ria, olga = (server.client(n) for n in ("ada", "rex", "ria", "olga"))
    assert judge(ada, task, mask, "accepted").status_code == 403
    assert judge(ria, task, mask, "accepted").status_code == 404
    assert code_of(judge(olga, task, mask, "accepted")) == "lease_lost"
    assert judge(rex, task | {"id": 99}, mask, "accepted").status_code == 404
    other = claim(olga).json()
    elsewhere = add_mask(olga, other["image_id"], "uuid-0009").json()
    # Neither a mask of another image, nor a task that is no review.
    assert judge(rex, task, elsewhere, "accepted").status_code == 404
    assert judge(olga, other, elsewhere, "accepted").status_code == 422
    path = f"{API}/annotations/{elsewhere['id']}/versions"
    assert rex.get(path).status_code == 404


@pytest.mark.parametrize("blind", [False, True])
def test_versions_show_who_changed_a_mask_unless_the_project_is_blind(begun, blind):
    server, task, (mask, _) = begun(blind=blind)
    rex, olga = server.client("rex"), server.client("olga")
    change(rex, mask, label="cup")
    path = f"{API}/annotations/{mask['id']}/versions"
    assert server.client("ada").get(path).status_code == 403
    judge(rex, task, mask, "returned", "x", revision=mask["revision"] + 1)
    review(rex, task, "returned", "x")
    seen = rex.get(path).json()["versions"]
    assert [v["label"] for v in seen] == ["", "cup"]
    assert [v["author"] for v in seen] == ["" if blind else "ada", "rex"]
    authors = [v["author"] for v in olga.get(path).json()["versions"]]
    assert authors == ["ada", "rex"]


def test_times_of_reviews_are_recorded(begun):
    server, task, _ = begun()
    path = f"{API}/tasks/{task['id']}/review"
    given = {"verdict": "accepted", "seconds": 20.0, "active_seconds": 12.5}
    assert server.client("rex").post(path, json=given).status_code == 200
    rows = server.client("olga").get(f"{API}/statistics").json()["person"]
    numbers = {row["name"]: row for row in rows}
    assert numbers["rex"]["reviews_made"] == 1
    assert numbers["rex"]["review_seconds_median"] == 12.5
    assert numbers["ada"]["reviews_made"] == 0 and numbers["ada"]["accepted"] == 1


def test_regions_are_drawn_listed_removed_and_drawn_again(make_server):
    server = make_server()
    ada, bob, olga = (server.client(name) for name in ("ada", "bob", "olga"))
    task = claim(ada).json()
    path = f"{API}/images/{task['image_id']}/regions"
    given = {"uuid": "region-0001", "box": [2, 3, 10.5, 12]}
    for _ in range(2):
        assert ada.post(path, json=given).status_code == 201
    (region,) = olga.get(path).json()["regions"]
    assert (region["box"], region["author"]) == ([2, 3, 10.5, 12], "ada")
    assert ada.post(path, json=given | {"box": [2, 3, 11, 12]}).status_code == 409
    own = f"{API}/regions/region-0001"
    unknown = bob.delete(f"{API}/regions/region-0002")
    refused = bob.delete(own)
    assert refused.status_code == unknown.status_code == 404
    assert refused.text == unknown.text.replace("0002", "0001")
    assert bob.get(path).status_code == bob.post(path, json=given).status_code == 404
    for _ in range(2):
        assert olga.delete(own).status_code == 204
    assert ada.get(path).json() == {"regions": []}
    ada.post(path, json=given)
    assert len(ada.get(path).json()["regions"]) == 1
    assert [r.author for r in server.services.regions.all()] == ["ada"]


@pytest.mark.parametrize(
    "box",
    [[5, 5, 5, 9], [9, 5, 5, 9], [-1, 5, 5, 9], [0, 0, 33, 9], [0, 0, 9, 25], [1, 2]],
)
def test_regions_outside_of_the_image_are_refused(make_server, box):
    olga = make_server().client("olga")
    image = olga.get(f"{API}/images").json()["images"][0]["id"]
    given = {"uuid": "region-0001", "box": box}
    response = olga.post(f"{API}/images/{image}/regions", json=given)
    assert (response.status_code, code_of(response)) == (422, "invalid")
