"""Files of the page: found in its folder alone, typed, and kept by browsers."""

import pytest
from web.conftest import code_of
from web.guard_test import send

from samjax.web.page import MEDIA_TYPES, RUNTIME, missing_files


@pytest.fixture
def page(tmp_path):
    folder = tmp_path / "page"
    (folder / "vendor").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html>")
    (folder / "app.js").write_text("export const one = 1;\n" * 200)
    for name in RUNTIME:
        (folder / "vendor" / name).write_bytes(b"runtime " * 400)
    (folder / ".hidden").write_text("hidden")
    (tmp_path / "secret.js").write_text("secret")
    (folder / "link.js").symlink_to(tmp_path / "secret.js")
    return folder


@pytest.fixture
def client(make_client, page):
    return make_client(page=page)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/page/app.js", "text/javascript; charset=utf-8"),
        ("/page/vendor/ort.wasm.min.mjs", "text/javascript; charset=utf-8"),
        ("/page/vendor/ort-wasm-simd-threaded.wasm", "application/wasm"),
    ],
)
def test_files_have_the_types_that_browsers_insist_on(client, path, kind):
    response = client.get(path)
    assert response.status_code == 200
    assert response.headers["content-type"] == kind
    assert client.head(path).headers["content-type"] == kind


def test_the_page_learns_where_its_api_is(client):
    assert client.get("/config.json").json() == {"mode": "server", "api": "/api/v1"}


def test_a_file_is_asked_for_again_and_sent_when_it_changed(client, page):
    first = client.get("/page/app.js")
    assert first.headers["cache-control"] == "no-cache"
    tag = {"If-None-Match": first.headers["etag"]}
    again = client.get("/page/app.js", headers=tag)
    assert again.status_code == 304 and not again.content
    (page / "app.js").write_text("export const two = 2;\n" * 200)
    new = client.get("/page/app.js", headers=tag)
    assert new.status_code == 200 and new.text.startswith("export const two")


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [("gzip", "gzip"), ("br, GZIP;q=0.5", "gzip"), ("br", None), ("gzip;q=0", None)],
)
def test_files_are_compressed_for_who_takes_that(client, page, accepted, coding):
    path = "/page/vendor/ort-wasm-simd-threaded.wasm"
    response = client.get(path, headers={"Accept-Encoding": accepted})
    assert response.headers.get("content-encoding") == coding
    assert response.headers["vary"] == "Accept-Encoding"
    assert response.content == (page / "vendor" / path.rpartition("/")[2]).read_bytes()


@pytest.mark.parametrize(
    "path",
    [
        *("/page/../secret.js", "/page/vendor/../../secret.js", "/page//app.js"),
        *("/page/..\\secret.js", "/page/.hidden", "/page/link.js", "/page/app.js/"),
        *("/page/", "/page/vendor", "/page/a\0.js", "/page/C:/secret.js", "/secret.js"),
        "/page/nothing.js",
    ],
)
def test_nothing_else_is_a_file_of_the_page(client, path):
    status, answer, _ = send(client.app, [b""], path, "GET")
    assert status == 404 and answer["error"]["code"] == "not_found"


def test_without_a_page_the_api_is_there_alone(make_client):
    client = make_client()
    assert client.get("/api/v1/health").status_code == 200
    assert code_of(client.get("/")) == "not_found"


def test_what_is_missing_of_a_page_is_named(page):
    assert missing_files(page) == []
    (page / "vendor" / RUNTIME[2]).unlink()
    assert missing_files(page) == [f"vendor/{RUNTIME[2]}"]


def test_types_of_scripts_do_not_depend_on_the_machine():
    assert MEDIA_TYPES[".mjs"].startswith("text/javascript")
    assert MEDIA_TYPES[".wasm"] == "application/wasm"
