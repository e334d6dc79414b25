"""Who may do what on a team's server: every route, every role, no token, a wrong one."""

import logging
import re

import pytest
from web.conftest import code_of, picture
from web.team_server import (
    API,
    PEOPLE,
    TeamServer,
    add_mask,
    claim,
    finish,
    masks_of,
)

from samjax.engine.annotations.people import ROLES, People
from samjax.web.permissions import LEAST_ROLES
from samjax.web.tokens import FRESH, Tokens

PERSON_OF = {"annotator": "ada", "reviewer": "rex", "owner": "olga"}


@pytest.fixture(scope="module")
def shared(tmp_path_factory, predictor):
    """A server for the tests that change nothing."""
    made = TeamServer(tmp_path_factory.mktemp("shared") / "project", predictor)
    yield made
    made.close()


@pytest.fixture
def server(tmp_path, predictor):
    made = TeamServer(tmp_path / "project", predictor)
    yield made
    made.close()


def filled(path):
    """A path with something for each of its parameters."""
    values = {
        "image": "no-image",
        "annotation": "1",
        "task": "1",
        "job": "x",
        "region": "none",
    }
    values |= {"part": "prompt", "name:path": "new.png"}
    return re.sub(r"{([^}]+)}", lambda match: values[match[1]], path)


def test_the_table_has_every_route_and_no_other(shared):
    described = shared.app.openapi()["paths"]
    listed = {
        (method.upper(), path)
        for path, methods in described.items()
        for method in methods
    }
    as_described = {
        (method, path.replace("{name:path}", "{name}"))
        for method, path in LEAST_ROLES
        if path.startswith(API)
    }
    assert listed == as_described
    assert ("GET", "/page/{name:path}") in LEAST_ROLES


@pytest.mark.parametrize(("method", "path"), LEAST_ROLES)
def test_every_route_needs_a_valid_token(shared, method, path):
    own = shared.tokens["olga"]
    for token in (None, "wrong", "", own[:-1], own + "x", own.swapcase()):
        client = shared.client(token=token)
        response = client.request(method, filled(path))
        assert response.status_code == 401
        assert method == "HEAD" or code_of(response) == "unauthorized"


@pytest.mark.parametrize(("method", "path"), LEAST_ROLES)
def test_every_route_is_refused_to_roles_below_its_own(shared, method, path):
    least = LEAST_ROLES[method, path]
    for role in ROLES:
        client = shared.client(PERSON_OF[role])
        response = client.request(method, filled(path))
        if ROLES.index(role) < ROLES.index(least):
            assert response.status_code == 403, role
            assert code_of(response) == "forbidden"
        elif response.status_code == 403:
            # Counts are the owner's, and a review is for a team's people.
            assert path == f"{API}/tasks" and role != "owner"


def test_a_route_that_the_table_does_not_have_is_nobody_s(server, monkeypatch):
    monkeypatch.delitem(LEAST_ROLES, ("GET", f"{API}/health"))
    response = server.client("olga").get(f"{API}/health")
    assert response.status_code == 403 and "another route" in response.text


def test_a_body_of_an_upload_is_not_read_where_it_is_refused(server):
    response = server.client("ada").put(f"{API}/images/new.png", content=picture())
    assert response.status_code == 403
    assert not (server.folder / "images" / "new.png").exists()
    response = server.client("olga").put(f"{API}/images/new.png", content=picture())
    assert response.status_code == 201
    # It has a task at once.
    assert server.services.tasks.counts() == {("annotate", "open"): 6}


@pytest.mark.parametrize(
    "name",
    [
        "../evil.png",
        "..%2Fevil.png",
        "%2e%2e/evil.png",
        "/etc/evil.png",
        "a/../../b.png",
    ],
)
def test_paths_do_not_leave_the_folder_of_images(shared, name):
    before = sorted(shared.folder.parent.rglob("*"))
    response = shared.client("olga").put(f"{API}/images/{name}", content=picture())
    assert response.status_code in (403, 404, 405, 422)
    assert sorted(shared.folder.parent.rglob("*")) == before


@pytest.mark.parametrize(
    "path",
    [
        "/page/../project.json",
        "/page/%2e%2e/%2e%2e/project.json",
        "/project.json",
        "/annotations.sqlite3",
        f"{API}/images/..%2F..%2Fproject.json",
        f"{API}/images/../annotations.sqlite3",
        f"{API}//statistics",
        f"{API}/statistics/",
        f"{API}/Statistics",
        f"{API}/%73tatistics/x",
        f"{API}/annotations/1/../../statistics",
    ],
)
def test_no_path_trick_reaches_what_is_not_the_annotator_s(shared, path):
    response = shared.client("ada").get(path)
    assert response.status_code in (403, 404, 405)
    assert "gold_share" not in response.text and "SQLite" not in response.text


def test_an_encoded_path_is_the_same_route(shared):
    assert shared.client("ada").get(f"{API}/%73tatistics").status_code == 403
    assert shared.client("olga").get(f"{API}/%73tatistics").status_code == 200


def test_the_person_of_a_task_is_the_token_s_whatever_the_client_says(server):
    ada, bob = server.client("ada"), server.client("bob")
    body = {"person": "bob", "kinds": ["annotate"]}
    task = ada.post(f"{API}/tasks/claim", json=body).json()
    assert task["assignee"] == "ada"
    assert server.services.tasks.get(task["id"]).assignee == "ada"
    for action in ("renew", "finish", "give_back"):
        path = f"{API}/tasks/{task['id']}/{action}"
        response = bob.post(path, json={"person": "ada"})
        assert response.status_code == 409 and code_of(response) == "lease_lost"
    made = add_mask(ada, task["image_id"], "uuid-0001", author="bob").json()
    assert made["author"] == "ada"
    path, match = f"{API}/annotations/{made['id']}", {"If-Match": str(made["revision"])}
    changed = ada.patch(path, json={"author": "bob"}, headers=match).json()
    assert changed["author"] == "ada"
    assert finish(ada, task).status_code == 200


def test_people_see_the_images_of_their_tasks_alone(server):
    ada, bob, olga = (server.client(name) for name in ("ada", "bob", "olga"))
    assert ada.get(f"{API}/images").json()["images"] == []
    task = claim(ada).json()
    (listed,) = ada.get(f"{API}/images").json()["images"]
    assert (listed["id"], listed["annotations"]) == (task["image_id"], 0)
    made = add_mask(ada, task["image_id"], "uuid-0001").json()
    assert olga.get(f"{API}/images").json()["total"] == 5
    claim(bob)
    image, match = task["image_id"], {"If-Match": str(made["revision"])}
    for method, path in (
        ("GET", f"images/{image}"),
        ("GET", f"images/{image}/pixels"),
        ("GET", f"images/{image}/thumbnail"),
        ("GET", f"images/{image}/embedding"),
        ("GET", f"images/{image}/embedding/state"),
        ("POST", f"images/{image}/embedding"),
        ("GET", f"images/{image}/annotations"),
        ("POST", f"images/{image}/annotations"),
        ("POST", f"images/{image}/predict"),
        ("POST", f"images/{image}/everything"),
        ("PATCH", f"annotations/{made['id']}"),
        ("DELETE", f"annotations/{made['id']}"),
        ("POST", f"annotations/{made['id']}/restore"),
    ):
        for client in (bob, server.client("rex")):
            response = client.request(
                method, f"{API}/{path}", json={"label": "x"}, headers=match
            )
            assert response.status_code == 404, (method, path)
            assert code_of(response) == "not_found"
        if method == "GET" and "embedding" not in path:
            assert ada.get(f"{API}/{path}").status_code == 200
    assert masks_of(olga, image)[0]["label"] == ""
    # An image that is not there is refused in the same words.
    other = bob.get(f"{API}/images/{image}").json()["error"]["message"]
    none = bob.get(f"{API}/images/{'x' * 20}").json()["error"]["message"]
    assert other.replace(image, "") == none.replace("x" * 20, "")


@pytest.mark.parametrize("annotation", ["0", "-1", "x", "9" * 30, "1%2F..", "१"])
def test_ids_that_are_none_are_refused(shared, annotation):
    response = shared.client("ada").request("DELETE", f"{API}/annotations/{annotation}")
    assert response.status_code in (404, 405, 422)


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_job_is_for_the_person_who_started_it_and_the_owner(server, method):
    ada, bob, olga = (server.client(name) for name in ("ada", "bob", "olga"))
    image = claim(ada).json()["image_id"]
    body = {"points_per_side": 1}
    job = ada.post(f"{API}/images/{image}/everything", json=body).json()["job"]
    unknown = bob.request(method, f"{API}/jobs/nothing")
    response = bob.request(method, f"{API}/jobs/{job}")
    assert response.status_code == unknown.status_code == 404
    assert response.text == unknown.text.replace("nothing", job)
    for client in (olga, ada):
        assert client.request(method, f"{API}/jobs/{job}").is_success


def test_a_browser_signs_in_with_its_person_s_token(shared):
    server, client = shared, shared.client()
    for wrong in ("x", "", server.tokens["ada"] + "x", "%00", "%ff"):
        response = client.get(f"/?token={wrong}")
        assert response.status_code in (400, 401)
        assert "set-cookie" not in response.headers
    response = client.get(f"/?token={server.tokens['ada']}")
    assert (response.status_code, response.headers["location"]) == (303, "/")
    cookie = response.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie
    assert client.get(f"{API}/me").json()["name"] == "ada"
    name = response.headers["set-cookie"].partition("=")[0]
    for value in ("wrong", "", '"', "x; y=\x7f"):
        client.cookies.clear()
        headers = {"Cookie": f"{name}={value}"}
        assert client.get(f"{API}/me", headers=headers).status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_write_from_a_foreign_page_is_refused_with_a_token_too(server, headers):
    for name in PEOPLE:
        response = server.client(name).post(
            f"{API}/tasks/claim", json={}, headers=headers
        )
        assert response.status_code == 403 and code_of(response) == "foreign_origin"
    assert server.services.tasks.counts() == {("annotate", "open"): 5}


def test_a_foreign_host_is_refused(shared):
    response = shared.client("olga").get("/", headers={"Host": "evil.example"})
    assert response.status_code == 403 and code_of(response) == "foreign_host"


def test_a_removed_person_is_out_and_a_new_one_in_without_a_restart(
    server, monkeypatch
):
    monkeypatch.setattr("samjax.web.tokens.FRESH", -1.0)
    people: People = server.services.people
    ada = server.client("ada")
    assert ada.get(f"{API}/me").status_code == 200
    people.remove("ada")
    assert ada.get(f"{API}/me").status_code == 401
    token = people.add("eve", "annotator")
    assert server.client(token=token).get(f"{API}/me").json()["name"] == "eve"


def test_people_are_read_again_after_a_second(server):
    now = [0.0]
    tokens = Tokens(server.services.people, lambda: now[0])
    assert tokens.find(server.tokens["ada"]).name == "ada"
    server.services.people.remove("ada")
    now[0] = FRESH
    assert tokens.find(server.tokens["ada"]) is not None
    now[0] = FRESH + 0.1
    assert tokens.find(server.tokens["ada"]) is None


def test_tokens_are_in_no_response_and_no_log(server, caplog, monkeypatch):
    caplog.set_level(logging.DEBUG)

    def fail(self):
        raise RuntimeError("a bug")

    texts = []
    for name, token in server.tokens.items():
        client = server.client(name)
        for method, path in LEAST_ROLES:
            response = client.request(method, filled(path))
            texts.append(response.text + str(response.headers))
        texts.append(client.get(f"/?token={token}x").text)
    monkeypatch.setattr("samjax.web.folder.Gallery.files", fail)
    response = server.client("olga").get(f"{API}/images")
    # The client of the tests logs the addresses that it asks.
    logs = [r.getMessage() for r in caplog.records if not r.name.startswith("httpx")]
    assert response.status_code == 500 and any("a request failed" in t for t in logs)
    for token in server.tokens.values():
        assert all(token not in text for text in texts + logs)
