"""A team's work through the API: reviews, gold images, numbers, instructions, exports."""

import csv
import io
import json
import zipfile

import pytest
from web.conftest import code_of
from web.team_server import (
    API,
    SIZE,
    add_mask,
    box,
    claim,
    finish,
    masks_of,
    review,
)

from samjax.engine.annotations import encoded_mask


def annotate(client, uuid="uuid-0001", **fields):
    """Claims an image, stores a mask of it, and finishes it."""
    task = claim(client).json()
    made = add_mask(client, task["image_id"], uuid, **fields).json()
    assert finish(client, task).status_code == 200
    return task, made


def test_a_returned_image_comes_back_with_its_note_and_is_then_accepted(make_server):
    server = make_server()
    ada, bob, rex = (server.client(name) for name in ("ada", "bob", "rex"))
    task, made = annotate(ada, label="cat")
    assert claim(ada, "verify").status_code == 403
    first = claim(rex, "verify").json()
    assert (first["image_id"], first["kind"]) == (task["image_id"], "verify")
    assert [m["label"] for m in masks_of(rex, first["image_id"])] == ["cat"]
    assert review(rex, first, "returned").status_code == 422
    assert review(rex, first, "returned", "no tail").json()["state"] == "done"
    assert claim(bob).json()["id"] != task["id"]
    again = claim(ada).json()
    assert (again["id"], again["note"]) == (task["id"], "no tail")
    add_mask(ada, task["image_id"], "uuid-0002", label="tail")
    finish(ada, again)
    second = claim(rex, "verify").json()
    fixed = rex.patch(
        f"{API}/annotations/{made['id']}",
        json={"label": "dog"},
        headers={"If-Match": str(made["revision"])},
    ).json()
    assert (fixed["label"], fixed["author"]) == ("dog", "rex")
    assert review(rex, second, "accepted").json()["state"] == "done"
    versions = server.services.store.history(made["id"])
    assert [(v["label"], v["author"]) for v in versions] == [
        *(("cat", "ada"), ("dog", "rex")),
    ]
    assert ada.get(f"{API}/me").json()["numbers"]["fixed"] == 1
    assert ada.get(f"{API}/me").json()["numbers"]["returned"] == 1


def test_masks_under_review_are_not_changed_by_who_made_them(make_server):
    server = make_server()
    ada, rex = server.client("ada"), server.client("rex")
    task, made = annotate(ada)
    path, match = f"{API}/annotations/{made['id']}", {"If-Match": str(made["revision"])}
    # Nobody has begun to review it.
    made = ada.patch(path, json={"label": "a"}, headers=match).json()
    claim(rex, "verify")
    match = {"If-Match": str(made["revision"])}
    for method in ("PATCH", "DELETE"):
        response = ada.request(method, path, json={"label": "b"}, headers=match)
        assert response.status_code == 409 and code_of(response) == "under_review"
    assert add_mask(ada, task["image_id"], "uuid-0009").status_code == 409
    assert ada.post(f"{path}/restore").status_code == 409
    assert masks_of(ada, task["image_id"])[0]["label"] == "a"


def test_a_blind_project_hides_the_makers_in_every_response(make_server):
    server = make_server(blind=True)
    ada, bob, rex = (server.client(name) for name in ("ada", "bob", "rex"))
    made = {}
    for number, client in enumerate((ada, bob)):
        task, mask = annotate(client, f"uuid-000{number}", label="cat")
        made[task["image_id"]] = mask
    finish(ada, claim(ada).json(), "flagged", "look at this")
    texts = []

    def read(response):
        texts.append(response.text + str(response.headers))
        return response

    for _ in range(2):
        task = read(claim(rex, "verify")).json()
        image, mask = task["image_id"], made[task["image_id"]]
        read(rex.get(f"{API}/images/{image}/annotations"))
        path = f"{API}/annotations/{mask['id']}"
        # A conflict has the mask as it is now.
        stale = read(rex.patch(path, json={"label": "x"}, headers={"If-Match": "0"}))
        assert stale.status_code == 409 and stale.json()["annotation"]["author"] == ""
        match = {"If-Match": str(mask["revision"])}
        read(rex.delete(path, headers=match))
        read(rex.post(f"{path}/restore"))
        read(add_mask(rex, image, mask["uuid"]))
        for route in (f"images/{image}", "images", "tasks", "me", "info", "health"):
            read(rex.get(f"{API}/{route}"))
        for route in ("statistics", "statistics.csv", "export", "export?authors=names"):
            assert read(rex.get(f"{API}/{route}")).status_code == 403
        read(review(rex, task, "returned", "again"))
    for name in ("ada", "bob"):
        assert not any(name in text for text in texts)
    assert any("rex" in text for text in texts)
    # Their makers and the owner see the names.
    for image, mask in made.items():
        authors = {m["author"] for m in masks_of(server.client("olga"), image)}
        assert authors == {"rex"} and mask["author"] in ("ada", "bob")


def test_reviewers_see_the_makers_where_the_project_is_not_blind(make_server):
    server = make_server()
    annotate(server.client("ada"))
    rex = server.client("rex")
    task = claim(rex, "verify").json()
    assert masks_of(rex, task["image_id"])[0]["author"] == "ada"


def test_gold_images_look_like_the_others_and_are_scored_at_the_end(make_server):
    server = make_server(gold_share=1.0, gold_images=("3.png",), review_share=0.0)
    olga, ada = server.client("olga"), server.client("ada")
    images = {i["name"]: i["id"] for i in olga.get(f"{API}/images").json()["images"]}
    add_mask(olga, images["3.png"], "uuid-gold", box(0, 0, 10, 10))
    add_mask(olga, images["3.png"], "uuid-gol2", box(12, 12, 20, 20))
    seen, bodies = [], []
    for number in range(5):
        task = claim(ada).json()
        seen.append(task["image"])
        assert masks_of(ada, task["image_id"]) == []
        shown = {i["name"]: i for i in ada.get(f"{API}/images").json()["images"]}
        assert shown[task["image"]]["annotations"] == 0
        made = add_mask(ada, task["image_id"], f"uuid-00{number}", box(0, 0, 10, 8))
        me = ada.get(f"{API}/me").json()
        assert me["gold"] is None and me["progress"]["counts"] is None
        assert me["progress"] == {
            "finished": number,
            "is_left": {"annotate": True},
            "counts": None,
        }
        bodies.append((task, made.json()))
        finish(ada, task)
    assert sorted(seen) == [f"{number}.png" for number in range(5)]
    for differing in (0, 1):
        keys = {frozenset(body[differing]) for body in bodies}
        assert len(keys) == 1
        for name in next(iter(keys)) & {"kind", "state", "note", "attempt", "round"}:
            assert len({body[differing][name] for body in bodies}) == 1
    assert ada.get(f"{API}/tasks").status_code == 403
    assert claim(ada).status_code == 204
    gold = ada.get(f"{API}/me").json()["gold"]
    assert gold == {"images": 1, "mean_iou": 0.8, "missed": 1, "extra": 0}
    # The trusted masks are the image's own, and hers are in no export.
    assert len(masks_of(olga, images["3.png"])) == 2
    assert exported_authors(olga)["3.png"] == ["person-1", "person-1"]


def exported_authors(client, query=""):
    content = client.get(f"{API}/export?format=coco{query}").content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        coco = json.loads(archive.read("annotations.json"))
    names = {image["id"]: image["file_name"] for image in coco["images"]}
    authors = {}
    for annotation in coco["annotations"]:
        name = names[annotation["image_id"]]
        authors.setdefault(name, []).append(annotation["author"])
    return authors


def test_exports_have_pseudonyms_unless_names_are_asked_for(make_server):
    server = make_server()
    task, _ = annotate(server.client("ada"))
    olga = server.client("olga")
    assert exported_authors(olga) == {task["image"]: ["person-4"]}
    assert exported_authors(olga, "&authors=names") == {task["image"]: ["ada"]}
    one = olga.get(f"{API}/export?image={task['image_id']}").text
    assert "person-4" in one and "ada" not in one


def test_two_people_on_one_image_do_not_see_each_other_and_are_compared(make_server):
    server = make_server(agreement_share=1.0, review_share=0.0)
    ada, bob, olga = (server.client(name) for name in ("ada", "bob", "olga"))
    for name, client, right in (("ada", ada, 10), ("bob", bob, 8)):
        for number in range(5):
            task = claim(client).json()
            assert masks_of(client, task["image_id"]) == []
            uuid = f"{name}-uuid-{number}"
            add_mask(client, task["image_id"], uuid, box(0, 0, 10, right))
            finish(client, task)
        assert claim(client).status_code == 204
    rows = olga.get(f"{API}/statistics").json()["person"]
    numbers = {row["name"]: row for row in rows}
    for name in ("ada", "bob"):
        assert numbers[name]["agreement_images"] == 5
        assert numbers[name]["agreement_iou"] == pytest.approx(0.8)
        assert numbers[name]["agreement_f1"] == 1.0
    assert all(len(names) == 1 for names in exported_authors(olga).values())


def test_statistics_are_of_the_maker_and_are_downloaded_with_pseudonyms(make_server):
    server = make_server(round=2)
    ada, rex, olga = (server.client(name) for name in ("ada", "rex", "olga"))
    work = {
        "seconds": 12.0,
        "active_seconds": 8.0,
        "clicks": 3,
        "undos": 1,
        "strokes": 0,
    }
    _, made = annotate(ada, **work)
    finish(ada, claim(ada).json(), "skipped", "too dark")
    finish(ada, claim(ada).json())
    task = claim(rex, "verify").json()
    while task["image_id"] != made["image_id"]:
        review(rex, task, "accepted")
        task = claim(rex, "verify").json()
    rex.patch(
        f"{API}/annotations/{made['id']}",
        json={"seconds": 99.0, "active_seconds": 77.0},
        headers={"If-Match": str(made["revision"])},
    )
    review(rex, task, "accepted")
    numbers = olga.get(f"{API}/statistics").json()
    (row,) = (row for row in numbers["person"] if row["name"] == "ada")
    expected = {"masks": 1, "images_done": 2, "images_empty": 1, "skipped": 1}
    expected |= {"active_seconds_mean": 8.0, "wall_seconds_mean": 12.0}
    expected |= {"clicks_mean": 3.0, "undos_mean": 1.0, "fixed": 1}
    assert {name: row[name] for name in expected} == expected
    assert [row["name"] for row in numbers["round"]] == [2]
    fingerprint = server.services.predictor.fingerprint
    assert [row["name"] for row in numbers["model"]] == [fingerprint]
    aside = numbers["set_aside"]
    assert [(t["state"], t["person"], t["note"]) for t in aside] == [
        ("skipped", "ada", "too dark")
    ]
    for query, name in (("", "person-4"), ("?people=names", "ada")):
        text = olga.get(f"{API}/statistics.csv{query}").text
        rows = list(csv.DictReader(io.StringIO(text)))
        people = {row["name"]: row for row in rows if row["by"] == "person"}
        assert people[name]["active_seconds_median"] == "8.0"
        assert ("ada" in text) == (name == "ada")
    path = f"{API}/tasks/{aside[0]['id']}/reopen"
    assert ada.post(path, json={"note": "try"}).status_code == 403
    assert olga.post(path, json={"note": "try again"}).json()["state"] == "open"
    again = claim(server.client("bob")).json()
    assert (again["id"], again["note"]) == (aside[0]["id"], "try again")


def test_instructions_are_read_anew_each_time(make_server):
    server = make_server()
    path = server.folder / "instructions.md"
    ada = server.client("ada")
    assert ada.get(f"{API}/instructions").json() == {"markdown": ""}
    path.write_text("# Cups\n<script>")
    assert ada.get(f"{API}/instructions").json() == {"markdown": "# Cups\n<script>"}
    path.unlink()
    path.symlink_to("/etc/hostname")
    assert ada.get(f"{API}/instructions").status_code == 503


def test_the_page_is_told_who_is_signed_in(make_server):
    server = make_server(blind=True, hint_seconds=20.0, name="Streets")
    info = server.client("rex").get(f"{API}/info").json()
    assert info["folder"] == "Streets"
    assert info["team"] == {
        "name": "rex",
        "role": "reviewer",
        "blind": True,
        "hint_seconds": 20.0,
    }


def test_without_a_team_there_are_no_team_s_routes(client):
    assert client.get(f"{API}/info").json()["team"] is None
    for path in ("me", "instructions", "statistics", "statistics.csv"):
        assert client.get(f"{API}/{path}").status_code == 404
    assert client.post(
        f"{API}/tasks/1/review", json={"verdict": "accepted"}
    ).status_code


def propose(server, image, mask=None, uuid="proposal-1"):
    """Stores a proposal, as `samjax engine propose` does."""
    rle = mask or box(2, 2, 12, 12)
    prompts = {"points": [[3, 4]], "labels": [1]}
    fields = {"label": "", "prompts": prompts, "score": 0.9, "stability_score": None}
    fields |= {"source": "proposed", "edited": False, "level": None, "order": None}
    fields |= {"seconds": 0.0, "author": "", "stage": 2}
    encoded = encoded_mask(rle["counts"], SIZE)
    return server.services.store.add(image, uuid, encoded, fields)[0]


def change(client, mask, **fields):
    path = f"{API}/annotations/{mask['id']}"
    match = {"If-Match": str(mask["revision"])}
    return client.patch(path, json=fields, headers=match)


def test_proposals_are_taken_changed_and_rejected_by_people_with_their_history(
    make_server,
):
    server = make_server(review_share=0.0)
    ada, olga = server.client("ada"), server.client("olga")
    task = claim(ada).json()
    boxes = [box(0, 4 * n, 6, 4 * n + 3) for n in range(5)]
    made = [
        propose(server, task["image"], rle, f"proposal-{n}")
        for n, rle in enumerate(boxes)
    ]
    taken = change(ada, made[0], source="proposal").json()
    assert (taken["source"], taken["edited"], taken["author"]) == (
        *("proposal", False, "ada"),
    )
    labelled = change(ada, made[1], label="cup").json()
    assert (labelled["source"], labelled["edited"]) == ("proposal", False)
    changed = change(ada, made[2], segmentation=box(0, 8, 7, 11)).json()
    assert (changed["source"], changed["edited"]) == ("proposal", True)
    # It does not become a mask made by hand.
    assert change(ada, taken, source="click").status_code == 422
    path = f"{API}/annotations/{made[3]['id']}"
    match = {"If-Match": str(made[3]["revision"])}
    assert ada.delete(path, headers=match).status_code == 204
    last = server.services.store.history(made[3]["id"])[-1]
    assert (last["source"], last["author"]) == ("rejected", "ada") and last["changed"]
    restored = ada.post(f"{path}/restore").json()
    assert restored["source"] == "proposed"
    match = {"If-Match": str(restored["revision"])}
    assert ada.delete(path, headers=match).status_code == 204
    rejected = server.services.store.rejected(task["image"])
    assert [row["id"] for row in rejected] == [made[3]["id"]]
    finish(ada, task)
    (row,) = olga.get(f"{API}/statistics").json()["person"]
    # The fifth is open: it is nobody's.
    expected = {"masks": 3, "masks_proposed": 2, "proposals_taken": 3}
    expected |= {"proposals_rejected": 1}
    assert {name: row[name] for name in expected} == expected
    assert exported_authors(olga) == {task["image"]: ["person-4"] * 3}


def test_a_decision_on_a_proposal_is_undone(make_server):
    server = make_server(review_share=0.0)
    ada = server.client("ada")
    task = claim(ada).json()
    made = propose(server, task["image"])
    taken = change(ada, made, source="proposal").json()
    again = change(ada, taken, source="proposed", edited=False).json()
    assert again["source"] == "proposed"
    finish(ada, task)
    (row,) = server.client("olga").get(f"{API}/statistics").json()["person"]
    names = ("masks", "proposals_taken", "proposals_rejected", "images_empty")
    assert [row[name] for name in names] == [0, 0, 0, 1]


def test_open_proposals_are_no_trusted_masks(make_server):
    server = make_server(gold_share=1.0, gold_images=("3.png",), review_share=0.0)
    olga, ada = server.client("olga"), server.client("ada")
    images = {i["name"]: i["id"] for i in olga.get(f"{API}/images").json()["images"]}
    add_mask(olga, images["3.png"], "uuid-gold", box(0, 0, 10, 10))
    propose(server, "3.png", box(12, 12, 20, 20))
    while (response := claim(ada)).status_code == 200:
        task = response.json()
        if task["image"] == "3.png":
            add_mask(ada, task["image_id"], "uuid-hers", box(0, 0, 10, 10))
        finish(ada, task)
    gold = ada.get(f"{API}/me").json()["gold"]
    assert gold == {"images": 1, "mean_iou": 1.0, "missed": 0, "extra": 0}
