"""Images through HTTP: listed, sent, shown; names that lead elsewhere are refused."""

import errno
import io
import os
import threading
import time

import numpy as np
import pytest
from PIL import Image
from web.conftest import code_of, embed, list_images, picture
from web.guard_test import send
from web.image_files_test import bomb

from samjax.web.folder import Gallery, image_id
from samjax.web.worker import ModelWorker


def test_the_list_says_what_each_image_is_and_what_is_wrong_with_it(client):
    found = {one["name"]: one for one in list_images(client)}
    assert list(found) == ["img2.png", "img10.jpg", "sub/photo.png", "text.jpg"]
    one = found["img2.png"]
    assert (one["width"], one["height"], one["problem"]) == (40, 30, None)
    assert (one["annotations"], one["embedded"]) == (0, False)
    assert client.get(f"/api/v1/images/{one['id']}").json() == one
    assert "no image" in found["text.jpg"]["problem"]
    for path in ("pixels", "thumbnail", "embedding/state"):
        response = client.get(f"/api/v1/images/{found['text.jpg']['id']}/{path}")
        assert response.status_code == 422
        assert code_of(response) == "unusable_image"


def test_the_list_comes_in_stretches(client):
    whole = list_images(client)
    parts = []
    for offset in range(0, 6, 2):
        query = {"offset": offset, "limit": 2}
        content = client.get("/api/v1/images", params=query).json()
        assert content["total"] == 4
        parts += content["images"]
    assert parts == whole
    for query in ({"limit": 0}, {"limit": 10**9}, {"offset": -1}, {"offset": "x"}):
        response = client.get("/api/v1/images", params=query)
        assert response.status_code == 422 and code_of(response) == "invalid"


def test_a_sent_image_is_there_and_sending_it_again_changes_nothing(client, photos):
    path = "/api/v1/images/new/dog.png"
    response = client.put(path, content=picture((6, 9)))
    assert response.status_code == 201
    assert (response.json()["name"], response.json()["width"]) == ("new/dog.png", 9)
    assert (photos / "new" / "dog.png").read_bytes() == picture((6, 9))
    assert response.json() in list_images(client)
    again = client.put(path, content=picture((6, 9)))
    assert (again.status_code, again.json()) == (200, response.json())
    other = client.put(path, content=picture((6, 9), shade=1))
    assert other.status_code == 409 and code_of(other) == "exists"
    assert (photos / "new" / "dog.png").read_bytes() == picture((6, 9))
    assert not list(photos.rglob(".samjax-upload*"))


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        picture((50, 50))[:-40],
        bomb(10_000, 10_000),
        b"GIF89a" + bytes(9),
    ],
)
def test_what_is_no_whole_image_is_not_taken(client, photos, content):
    before = sorted(photos.rglob("*"))
    response = client.put("/api/v1/images/deep/er/new.jpg", content=content)
    assert response.status_code == 422 and code_of(response) == "not_an_image"
    assert sorted(photos.rglob("*")) == before


@pytest.mark.parametrize(
    "name",
    [
        "../evil.png",
        "a/../../evil.png",
        "/etc/evil.png",
        "..\\evil.png",
        "C:\\evil.png",
        "a\0.png",
        ".samjax/evil.png",
        "a//evil.png",
        "evil.html",
    ],
)
def test_a_name_that_leads_out_is_refused_however_it_is_written(
    client, photos, tmp_path, name
):
    before = sorted(tmp_path.rglob("*"))
    # What a server makes of %2e%2e and %2F, and of what is not encoded.
    status, answer, _ = send(client.app, [picture()], f"/api/v1/images/{name}")
    assert status == 422 and answer["error"]["code"] == "bad_name"
    coded = "".join(f"%{byte:02x}" for byte in name.encode())
    response = client.put(f"/api/v1/images/{coded}", content=picture())
    assert response.status_code == 422 and code_of(response) == "bad_name"
    for method in ("GET", "POST"):
        for tail in ("", "/pixels", "/embedding"):
            status, answer, _ = send(
                client.app, [b""], f"/api/v1/images/{name}{tail}", method
            )
            assert status in (404, 405), answer
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("unknown", ["x", "A" * 64, "%00", image_id("nothing.png")])
def test_an_unknown_id_is_not_found(client, unknown):
    for tail in ("", "/pixels", "/thumbnail", "/embedding", "/annotations"):
        response = client.get(f"/api/v1/images/{unknown}{tail}")
        assert response.status_code == 404 and code_of(response) == "not_found"


def test_of_many_who_send_under_one_name_one_is_first(client, photos, monkeypatch):
    statuses, link = [], os.link

    def slowly(*names, **folders):
        time.sleep(0.1)
        link(*names, **folders)

    monkeypatch.setattr("samjax.web.uploads.os.link", slowly)

    def one(shade):
        answer = client.put("/api/v1/images/x.png", content=picture(shade=shade))
        statuses.append((answer.status_code, shade))

    threads = [threading.Thread(target=one, args=(shade,)) for shade in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(status for status, _ in statuses) == [201] + [409] * 7
    (winner,) = (shade for status, shade in statuses if status == 201)
    assert (photos / "x.png").read_bytes() == picture(shade=winner)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (errno.EROFS, 403, "not_writable"),
        (errno.EACCES, 403, "not_writable"),
        (errno.ENOSPC, 507, "not_writable"),
        (errno.EDQUOT, 507, "not_writable"),
        (errno.EMFILE, 503, "busy"),
        (errno.ENAMETOOLONG, 422, "bad_name"),
        (errno.ENOTDIR, 422, "bad_name"),
    ],
)
# When the file is made, written, named; and the clean-up fails as well.
@pytest.mark.parametrize(
    "calls",
    [
        ("open", "os.unlink"),
        ("os.fsync", "os.unlink"),
        ("os.link", "os.unlink"),
        ("os.link",),
    ],
)
def test_a_folder_that_takes_no_files_is_said_so(
    client, photos, monkeypatch, calls, error, status, code
):
    def refuse(*arguments, **more):
        raise OSError(error, os.strerror(error))

    for name in calls:
        monkeypatch.setattr(f"samjax.web.uploads.{name}", refuse, raising=False)
    response = client.put("/api/v1/images/x.png", content=picture())
    assert (response.status_code, code_of(response)) == (status, code)
    assert os.strerror(error).lower() in response.json()["error"]["message"]
    monkeypatch.undo()
    # Nothing else is the worse for it.
    assert client.put("/api/v1/images/x.png", content=picture()).status_code == 201
    assert {path.name for path in photos.iterdir()} >= {"x.png"}


def test_what_a_killed_server_left_of_an_upload_goes_at_the_next_start(
    photos, make_client
):
    left = photos / ".samjax-upload-0123.tmp"
    left.write_bytes(b"half")
    make_client()
    assert not left.exists()


def test_pixels_are_the_file_itself_where_browsers_show_it(client, ids, photos):
    response = client.get(f"/api/v1/images/{ids['img2.png']}/pixels")
    assert response.content == (photos / "img2.png").read_bytes()
    assert response.headers["content-type"] == "image/png"
    tag = {"If-None-Match": response.headers["etag"]}
    again = client.get(f"/api/v1/images/{ids['img2.png']}/pixels", headers=tag)
    assert again.status_code == 304 and not again.content


def link_to_secret(path):
    secret = path.parent.parent / "secret.png"
    secret.write_bytes(picture((50, 50), shade=250))
    path.unlink()
    path.symlink_to(secret)


def put_another(path):
    path.write_bytes(picture((51, 52), shade=240))


@pytest.mark.parametrize(
    ("happens", "status"),
    [(link_to_secret, 404), (os.unlink, 404), (put_another, 409)],
)
@pytest.mark.parametrize("name", ["img2.png", "turned.png"])
@pytest.mark.parametrize("tail", ["pixels", "thumbnail"])
def test_what_takes_the_place_of_an_image_under_a_request_is_not_sent(
    client, photos, monkeypatch, happens, status, name, tail
):
    # One that browsers show as it is, and one that is converted for them.
    Image.fromarray(np.zeros((9, 9), np.uint16)).save(photos / "turned.png")
    usable = Gallery.usable

    def then(gallery, image):
        found = usable(gallery, image)
        happens(photos / name)
        return found

    monkeypatch.setattr(Gallery, "usable", then)
    response = client.get(f"/api/v1/images/{image_id(name)}/{tail}")
    assert response.status_code == status
    code = {404: "not_found", 409: "changed_meanwhile"}[status]
    assert code_of(response) == code


def test_what_takes_the_place_of_an_image_is_not_embedded_for_it(
    client, photos, monkeypatch
):
    request = ModelWorker.request

    def then(worker, image, **how):
        put_another(photos / "img2.png")
        return request(worker, image, **how)

    monkeypatch.setattr(ModelWorker, "request", then)
    old = client.app.state.services.gallery.file(image_id("img2.png"))
    client.post(f"/api/v1/images/{old.id}/embedding")
    worker = client.app.state.services.worker
    while (state := worker.state(old)).state in ("queued", "running"):
        time.sleep(0.01)
    assert state.state == "failed" and "changed" in (state.message or "")
    assert not worker.has(old)


@pytest.mark.parametrize("keeps", [True, False])
def test_a_converted_image_is_sent_whether_it_can_be_kept_or_not(
    client, photos, monkeypatch, keeps
):
    Image.fromarray(np.full((20, 30), 40_000, np.uint16)).save(photos / "deep.png")
    if not keeps:

        def refuse(*names):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr("samjax.files.writing.os.replace", refuse)
    for _ in range(2):
        response = client.get(f"/api/v1/images/{image_id('deep.png')}/pixels")
        with Image.open(io.BytesIO(response.content)) as image:
            assert (image.mode, image.size) == ("RGB", (30, 20))
        length = int(response.headers["content-length"])
        assert length == len(response.content)


def test_an_upload_to_another_server_of_the_folder_stays(photos, make_client):
    begun, go_on = threading.Event(), threading.Event()
    first = make_client()
    whole = picture((6, 9))

    def content():
        yield whole[:50]
        begun.set()
        assert go_on.wait(60)
        yield whole[50:]

    answers = []
    thread = threading.Thread(
        target=lambda: answers.append(
            first.put("/api/v1/images/new.png", content=content())
        )
    )
    thread.start()
    assert begun.wait(60)
    while not (held := list(photos.glob(".samjax-upload*"))):
        time.sleep(0.01)
    left = photos / ".samjax-upload-0123.tmp"
    left.write_bytes(b"half")
    second = make_client()
    assert not left.exists() and held[0].exists()
    go_on.set()
    thread.join()
    assert answers[0].status_code == 201
    assert (photos / "new.png").read_bytes() == whole
    assert "new.png" in {one["name"] for one in list_images(second)}


def test_two_servers_do_not_take_one_name_for_two_images(photos, make_client):
    servers = [make_client(), make_client()]
    for has_links in (True, False):
        name = f"name{has_links}.png"
        with pytest.MonkeyPatch.context() as patch:
            if not has_links:

                def refuse(*names, **more):
                    raise OSError(errno.EPERM, "Operation not permitted")

                patch.setattr("samjax.web.uploads.os.link", refuse)
            statuses = [
                server.put(f"/api/v1/images/{name}", content=picture(shade=shade))
                for shade, server in enumerate(servers)
            ]
        assert [one.status_code for one in statuses] == [201, 409]
        assert (photos / name).read_bytes() == picture(shade=0)
        assert not list(photos.glob(".samjax-upload*"))


def test_a_folder_on_the_way_that_becomes_a_link_takes_no_upload(
    client, photos, tmp_path, monkeypatch
):
    check = Gallery.path_for

    def then(gallery, name):
        path = check(gallery, name)
        (photos / "sub" / "photo.png").unlink()
        (photos / "sub").rmdir()
        (photos / "sub").symlink_to(tmp_path)
        return path

    monkeypatch.setattr(Gallery, "path_for", then)
    response = client.put("/api/v1/images/sub/x.png", content=picture())
    assert response.status_code == 422 and code_of(response) == "bad_name"
    assert not (tmp_path / "x.png").exists()


def test_other_images_and_thumbnails_are_made_once(client, photos, monkeypatch):
    pixels = np.full((20, 30), 40_000, np.uint16)
    Image.fromarray(pixels).save(photos / "deep.png")
    one = image_id("deep.png")
    first = client.get(f"/api/v1/images/{one}/pixels")
    small = client.get(f"/api/v1/images/{one}/thumbnail", params={"size": 16})
    with Image.open(io.BytesIO(first.content)) as image:
        assert (image.mode, image.size) == ("RGB", (30, 20))
    with Image.open(io.BytesIO(small.content)) as image:
        assert image.size == (16, 11)
    monkeypatch.setattr("samjax.web.image_routes.convert_for_browser", None)
    monkeypatch.setattr("samjax.web.image_routes.make_thumbnail", None)
    again = client.get(f"/api/v1/images/{one}/pixels")
    assert again.content == first.content
    assert again.headers["content-type"] == "image/png"
    again = client.get(f"/api/v1/images/{one}/thumbnail", params={"size": 16})
    assert again.content == small.content
    assert again.headers["content-type"] == "image/jpeg"


def test_the_list_says_which_images_are_embedded(client, ids):
    embed(client, ids["sub/photo.png"])
    shown = {one["name"]: one["embedded"] for one in list_images(client)}
    assert shown == {
        "img2.png": False,
        "img10.jpg": False,
        "sub/photo.png": True,
        "text.jpg": False,
    }
