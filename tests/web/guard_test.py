import asyncio
import dataclasses
import json

import pytest
from web.conftest import ADDRESS, code_of, picture

from samjax.web.guard import Guard
from samjax.web.settings import Settings

OPEN = "/api/v1/health"
WRITE = "/api/v1/images/new.png"


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:8000", "127.0.0.1:9", "localhost", "LOCALHOST:8000", "[::1]:8000"],
)
def test_this_machines_names_are_let_in(client, host):
    assert client.get(OPEN, headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8000", ""],
)
def test_a_foreign_host_is_refused_so_that_names_cannot_be_rebound(client, host):
    response = client.get(OPEN, headers={"Host": host})
    assert response.status_code == 403
    assert code_of(response) == "foreign_host"


def test_a_further_host_can_be_named(make_client):
    client = make_client(hosts=("sam.example",))
    assert client.get(OPEN, headers={"Host": "sam.example"}).status_code == 200
    assert client.get(OPEN, headers={"Host": "evil.example"}).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:8001"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": ADDRESS, "Sec-Fetch-Site": "cross-site"},
    ],
)
def test_a_write_from_a_foreign_page_is_refused(client, photos, headers):
    for method in ("PUT", "POST", "PATCH", "DELETE"):
        response = client.request(method, WRITE, content=picture(), headers=headers)
        assert response.status_code == 403
        assert code_of(response) == "foreign_origin"
    assert not (photos / "new.png").exists()


@pytest.mark.parametrize(
    "headers", [{}, {"Origin": ADDRESS, "Sec-Fetch-Site": "same-origin"}]
)
def test_a_write_of_our_page_or_of_a_program_is_let_in(client, headers):
    response = client.put(WRITE, content=picture(), headers=headers)
    assert response.status_code == 201


def test_without_a_token_only_this_machine_is_served(settings):
    with pytest.raises(ValueError, match="without a token"):
        dataclasses.replace(settings, host="0.0.0.0")
    assert dataclasses.replace(settings, host="0.0.0.0", token="t").token == "t"
    assert isinstance(dataclasses.replace(settings, host="localhost"), Settings)


def test_where_there_is_a_token_it_must_be_known(make_client):
    client = make_client(
        host="0.0.0.0", token="secret", base_url="http://sam.example:8000"
    )
    for path in (OPEN, "/", "/config.json", "/api/v1/openapi.json", "/nothing"):
        response = client.get(path)
        assert response.status_code == 401
        assert code_of(response) == "unauthorized"
    for given in ("Bearer wrong", "Bearer", "Basic secret", "Bearer secret2", "secret"):
        response = client.get(OPEN, headers={"Authorization": given})
        assert response.status_code == 401
    right = {"Authorization": "Bearer secret"}
    assert client.get(OPEN, headers=right).status_code == 200


def test_a_browser_signs_in_by_the_address_and_is_sent_on_without_the_token(
    make_client,
):
    client = make_client(host="0.0.0.0", token="secret")
    response = client.get("/?token=wrong", follow_redirects=False)
    assert response.status_code == 401 and "set-cookie" not in response.headers
    response = client.get("/?token=secret", follow_redirects=False)
    assert response.status_code == 303
    assert response.headers["location"] == "/"
    cookie = response.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie
    assert client.get(OPEN).status_code == 200
    client.cookies.clear()
    name = response.headers["set-cookie"].partition("=")[0]
    for value in ("wrong", "", '"', "secret; x=\x7f"):
        headers = {"Cookie": f"{name}={value}"}
        assert client.get(OPEN, headers=headers).status_code in (200, 401)
    assert client.get(OPEN, headers={"Cookie": f"{name}=wrong"}).status_code == 401


def test_every_answer_shuts_other_pages_out(make_client):
    client = make_client(token="secret")
    right = {"Authorization": "Bearer secret"}
    answers = [
        client.get(OPEN, headers=right),
        client.get("/api/v1/nothing", headers=right),
        client.get(OPEN),
        client.get(OPEN, headers={"Host": "evil.example"}),
        client.put(WRITE, headers=right, content=b"no image"),
        client.get("/api/v1/docs", headers=right),
    ]
    assert [one.status_code for one in answers] == [200, 404, 401, 403, 422, 200]
    for answer in answers:
        headers = answer.headers
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert headers["cross-origin-embedder-policy"] == "require-corp"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe-inline" not in policy
        assert "unsafe-eval'" not in policy.replace("'wasm-unsafe-eval'", "")
        assert "access-control-allow-origin" not in headers


def test_a_bug_is_an_error_in_the_form_of_errors(make_client, monkeypatch, caplog):
    client = make_client()

    def fail(self):
        raise RuntimeError("a bug")

    monkeypatch.setattr("samjax.web.folder.Gallery.files", fail)
    response = client.get("/api/v1/images")
    assert response.status_code == 500
    assert code_of(response) == "internal"
    assert "a bug" not in response.text and "a bug" in caplog.text
    assert "content-security-policy" in response.headers
    assert client.get(OPEN).status_code == 200


def send(app, chunks, path=WRITE, method="PUT", headers=(), ends=True):
    """Sends a body piece by piece, without saying beforehand how long it is.

    Returns:
        The status, the answer, and how many pieces were taken.
    """
    taken, sent = 0, []

    async def receive():
        nonlocal taken
        if taken == len(chunks):
            return {"type": "http.disconnect"}
        chunk = chunks[taken]
        taken += 1
        more = taken < len(chunks) or not ends
        return {"type": "http.request", "body": chunk, "more_body": more}

    async def answer(message):
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1"), *headers],
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 9),
        "scheme": "http",
        "http_version": "1.1",
        "root_path": "",
    }
    asyncio.run(app(scope, receive, answer))
    body = b"".join(one.get("body", b"") for one in sent)
    status = sent[0]["status"] if sent else None
    return status, json.loads(body) if body else None, taken


def test_an_upload_that_is_too_long_is_cut_off_without_being_read(make_client, photos):
    import samjax.web.settings as web

    client = make_client(limits=web.Limits(upload_bytes=1 << 16))
    status, answer, taken = send(client.app, [bytes(1 << 12)] * 1000)
    assert status == 413 and answer["error"]["code"] == "too_large"
    assert "65536" in answer["error"]["message"]
    assert taken == 17
    assert not list(photos.glob("**/*new*")) and not list(photos.glob(".samjax-up*"))
    # Whoever says it beforehand is refused beforehand.
    length = [(b"content-length", b"65537")]
    status, _, taken = send(client.app, [bytes(65537)], headers=length)
    assert (status, taken) == (413, 0)
    status, _, _ = send(client.app, [b"x"], headers=[(b"content-length", b"-1")])
    assert status == 413


def test_other_bodies_are_bounded_too(make_client, ids):
    import samjax.web.settings as web

    client = make_client(limits=web.Limits(json_bytes=1 << 16))
    path = f"/api/v1/images/{ids['img2.png']}/annotations"
    kind = [(b"content-type", b"application/json")]
    chunks = [b'{"label": "', *[b"x" * (1 << 12)] * 1000]
    status, answer, taken = send(client.app, chunks, path, "POST", kind)
    assert status == 413 and answer["error"]["code"] == "too_large"
    assert taken < 30


def test_an_upload_that_breaks_off_leaves_nothing(client, photos):
    whole = picture((64, 64))
    before = sorted(photos.rglob("*"))
    send(client.app, [whole[:50], whole[50:90]], ends=False)
    assert sorted(photos.rglob("*")) == before
    assert send(client.app, [whole[:50], whole[50:]])[0] == 201


def run_many(settings, bodies, sizes):
    """Has a guard receive bodies at a time, and gives how much of them was in memory.

    Each ends when all of it was received and the application has answered.
    """
    most = inside = 0

    async def application(scope, receive, respond):
        nonlocal most, inside
        taken = 0
        while True:
            message = await receive()
            inside += len(message["body"])
            taken += len(message["body"])
            most = max(most, inside)
            if not message["more_body"]:
                break
        # While it is checked and stored, others come.
        await asyncio.sleep(0.01)
        await respond({"type": "http.response.start", "status": 200, "headers": []})
        await respond({"type": "http.response.body", "body": b""})
        inside -= taken

    guard = Guard(application, settings)
    statuses = []

    async def one(length):
        left = length

        async def receive():
            nonlocal left
            await asyncio.sleep(0)
            part = min(left, sizes)
            left -= part
            return {"type": "http.request", "body": bytes(part), "more_body": left > 0}

        async def respond(message):
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/api/v1/images/x/annotations",
            "query_string": b"",
            "headers": [(b"host", b"127.0.0.1")],
        }
        await guard(scope, receive, respond)

    async def all_of_them():
        await asyncio.gather(*map(one, bodies))

    asyncio.run(all_of_them())
    return most, statuses


@pytest.mark.parametrize(
    ("bodies", "most"),
    [
        # Small ones come together, of large ones one; each of the others waits with a bit.
        ([1000] * 50, 50_000),
        ([8_000_000] * 8, 8_000_000 + 8 * 200_000),
        ([1 << 20] * 30, (1 << 20) + 30 * 200_000),
        ([8_000_000, *[1000] * 20], 8_020_000),
    ],
)
def test_of_large_bodies_one_is_in_memory_at_a_time(settings, bodies, most):
    found, statuses = run_many(settings, bodies, 1 << 16)
    assert statuses == [200] * len(bodies)
    assert found <= most


def test_a_large_body_that_does_not_end_lets_the_others_be_received(
    settings, monkeypatch
):
    monkeypatch.setattr("samjax.web.guard._FOR_LARGE", 0.2)
    ended = []

    async def application(scope, receive, respond):
        while (await receive())["more_body"]:
            pass
        ended.append(scope["path"])

    guard = Guard(application, settings)

    def request(path, *, stops):
        left = 10

        async def receive():
            nonlocal left
            left -= 1
            if stops and left == 0:
                await asyncio.Event().wait()
            body = bytes(1 << 16)
            return {"type": "http.request", "body": body, "more_body": left > 0}

        async def respond(message):
            pass

        scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "query_string": b"",
            "headers": [(b"host", b"127.0.0.1")],
        }
        return guard(scope, receive, respond)

    async def both():
        await asyncio.gather(
            request("/stops", stops=True), request("/ends", stops=False)
        )

    asyncio.run(both())
    assert ended == ["/ends"]


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}])
def test_who_is_refused_at_the_door_keeps_no_connection(make_client, headers):
    client = make_client(host="0.0.0.0", token="secret")
    for method in ("GET", "PUT"):
        response = client.request(method, WRITE, content=b"x", headers=headers)
        assert response.status_code == 401
        assert response.headers["connection"] == "close"
