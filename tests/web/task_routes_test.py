"""The queue of tasks through the API: nobody gets an image that somebody else has."""

import time

import pytest

TASKS = "/api/v1/tasks"


@pytest.fixture
def queued(client):
    """A server with a task for each image of the folder."""
    assert client.post(TASKS, json={}).json() == {"added": 4}
    return client


def claim(client, person="ada", **more):
    return client.post(f"{TASKS}/claim", json={"person": person, **more})


def test_people_get_different_images_until_none_is_left(queued, ids):
    tasks = [claim(queued, f"person {n}").json() for n in range(4)]
    assert {task["image"] for task in tasks} == set(ids)
    assert all(task["image_id"] == ids[task["image"]] for task in tasks)
    assert claim(queued, "late").status_code == 204
    assert queued.get(TASKS).json() == {"counts": {"annotate": {"leased": 4}}}
    assert queued.post(TASKS, json={}).json() == {"added": 0}


def test_a_task_goes_from_claim_to_done(queued):
    task = claim(queued).json()
    assert claim(queued).json()["id"] == task["id"]
    path = f"{TASKS}/{task['id']}"
    renewed = queued.post(f"{path}/renew", json={"person": "ada"}).json()
    assert renewed["lease_until"] >= task["lease_until"] > time.time() + 1700
    done = queued.post(f"{path}/finish", json={"person": "ada"}).json()
    assert (done["state"], done["assignee"]) == ("done", "ada")
    assert claim(queued).json()["id"] != task["id"]


def test_what_is_not_one_s_own_is_refused(queued):
    task = claim(queued).json()
    for action in ("renew", "finish", "give_back"):
        response = queued.post(f"{TASKS}/{task['id']}/{action}", json={"person": "bob"})
        assert response.status_code == 409
        assert response.json()["error"]["code"] == "lease_lost"
    response = queued.post(f"{TASKS}/99/finish", json={"person": "ada"})
    assert response.status_code == 404
    given_back = queued.post(f"{TASKS}/{task['id']}/give_back", json={"person": "ada"})
    assert given_back.json()["state"] == "open"


def test_a_skipped_task_has_a_reason(queued):
    path = f"{TASKS}/{claim(queued).json()['id']}/finish"
    given = {"person": "ada", "state": "skipped"}
    response = queued.post(path, json=given)
    assert response.status_code == 422 and "note" in response.json()["error"]["message"]
    assert (
        queued.post(path, json=given | {"note": "blurred"}).json()["note"] == "blurred"
    )


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("", {"kind": "draw"}),
        ("", {"images": ["no-such-image"]}),
        ("", {"round": -1}),
        ("/claim", {}),
        ("/claim", {"person": ""}),
        ("/claim", {"person": "a\nb"}),
        ("/claim", {"person": "ada", "kinds": []}),
        ("/0/renew", {"person": "ada"}),
        ("/1/finish", {"person": "ada", "state": "open"}),
    ],
)
def test_other_requests_are_refused_with_what_was_expected(queued, path, body):
    response = queued.post(f"{TASKS}{path}", json=body)
    assert response.status_code in (404, 422), response.text
    assert response.json()["error"]["message"]


def test_tasks_of_some_images_and_kinds(client, ids):
    image = ids["img2.png"]
    given = {"images": [image], "kind": "audit", "round": 2}
    assert client.post(TASKS, json=given).json() == {"added": 1}
    assert claim(client).status_code == 204
    task = claim(client, kinds=["annotate", "audit"]).json()
    assert (task["image"], task["kind"], task["round"]) == ("img2.png", "audit", 2)


def test_the_next_images_are_embedded_before_they_are_asked_for(client, ids):
    images = [ids["img2.png"], ids["sub/photo.png"]]
    client.post(TASKS, json={"images": images, "seed": None})
    assert claim(client).json()["image_id"] == images[0]
    for _ in range(600):
        state = client.get(f"/api/v1/images/{images[1]}/embedding/state").json()[
            "state"
        ]
        if state == "ready":
            break
        time.sleep(0.05)
    assert state == "ready"
    state = client.get(f"/api/v1/images/{images[0]}/embedding/state").json()["state"]
    assert state != "ready"
