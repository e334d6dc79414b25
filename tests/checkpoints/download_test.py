"""Downloads survive broken connections and odd servers, and keep nothing wrong."""

import hashlib
import multiprocessing
import time

import pytest

from samjax.checkpoints import CheckpointError, download
from samjax.checkpoints.download import download as fetch
from samjax.checkpoints.download import locked

CONTENT = bytes(range(256)) * 4096
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def content(server):
    """Sets the content that the server sends."""
    server.content = CONTENT


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(download, "BACKOFF", 0.001)


@pytest.fixture
def target(tmp_path):
    return tmp_path / "downloads" / "weights.pth"


def get(server, target):
    return fetch(server.url, target, size=len(CONTENT), sha256=SHA256)


def names(target):
    return sorted(path.name for path in target.parent.iterdir())


def test_a_file_arrives_whole_and_alone(server, target):
    assert get(server, target) == target
    assert target.read_bytes() == CONTENT
    assert names(target) == ["weights.pth"]


def test_a_connection_cut_off_again_and_again_is_taken_up_where_it_broke(
    server, target
):
    server.cut = 100_000
    get(server, target)
    assert target.read_bytes() == CONTENT
    expected = [None, *(f"bytes={i * 100_000}-" for i in range(1, 11))]
    assert server.ranges_asked() == expected
    assert {h.get("If-Range") for h in server.requests[1:]} == {'"one"'}


def test_a_download_given_up_is_taken_up_by_the_next_call(server, target, monkeypatch):
    server.cut = 300
    with monkeypatch.context() as patch:
        patch.setattr(download, "MAX_TRIES", 1)
        with pytest.raises(CheckpointError, match=r"300 of 1048576 bytes.*go on"):
            get(server, target)
    server.cut = None
    get(server, target)
    assert server.ranges_asked() == [None, "bytes=300-"]
    assert target.read_bytes() == CONTENT


def test_a_server_that_ignores_ranges_is_asked_for_everything_anew(server, target):
    server.ranges = False
    server.cuts = [600_000, 700_000]
    get(server, target)
    assert target.read_bytes() == CONTENT
    assert server.ranges_asked() == [None, "bytes=600000-", "bytes=700000-"]


def test_a_file_that_changed_on_the_server_is_begun_anew(server, target):
    partial = target.with_name("weights.pth.partial")
    partial.parent.mkdir()
    partial.write_bytes(b"x" * 1000)
    partial.with_name("weights.pth.partial.tag").write_text('"an older one"')
    get(server, target)
    assert server.requests[0]["If-Range"] == '"an older one"'
    assert target.read_bytes() == CONTENT


def test_a_partial_file_longer_than_the_file_is_begun_anew(server, target):
    target.parent.mkdir()
    target.with_name("weights.pth.partial").write_bytes(b"x" * (len(CONTENT) + 1))
    get(server, target)
    assert target.read_bytes() == CONTENT


def test_a_range_that_cannot_be_had_is_begun_anew(server, target):
    target.parent.mkdir()
    target.with_name("weights.pth.partial").write_bytes(b"x" * 10)
    server.status = [416]
    get(server, target)
    assert target.read_bytes() == CONTENT


def test_wrong_bytes_are_deleted_and_an_error_says_which(server, target):
    server.content = CONTENT[:-1] + b"!"
    with pytest.raises(CheckpointError, match=f"(?s)deleted.*expected {SHA256}"):
        get(server, target)
    assert names(target) == []


@pytest.mark.parametrize("length", [0, 10, len(CONTENT) + 1])
def test_a_file_of_another_size_is_refused_before_it_is_fetched(server, target, length):
    server.content = (CONTENT + b"!")[:length]
    with pytest.raises(CheckpointError, match=f"{length} bytes, expected 1048576"):
        get(server, target)
    assert len(server.requests) == 1
    assert names(target) == []


@pytest.mark.parametrize("code", [401, 403, 404, 410])
def test_a_server_without_the_file_is_asked_once(server, target, code):
    server.status = [code]
    with pytest.raises(CheckpointError, match=f"answers {code}.*SAMJAX_RELEASES_URL"):
        get(server, target)
    assert len(server.requests) == 1
    assert names(target) == []


@pytest.mark.parametrize("code", [429, 500, 503])
def test_a_server_in_trouble_is_asked_again(server, target, code):
    server.status = [code] * (download.MAX_TRIES - 1)
    get(server, target)
    assert len(server.requests) == download.MAX_TRIES


def test_a_server_that_stays_in_trouble_is_given_up(server, target):
    server.status = [500] * 100
    with pytest.raises(CheckpointError, match=f"failed {download.MAX_TRIES} times"):
        get(server, target)
    assert len(server.requests) == download.MAX_TRIES


def test_a_server_that_is_not_there_is_given_up(target, server):
    url = server.url
    server.server_close()
    with pytest.raises(CheckpointError, match="failed"):
        fetch(url, target, size=1, sha256="")


def test_a_file_that_is_there_is_verified_and_not_fetched(server, target):
    get(server, target)
    get(server, target)
    assert len(server.requests) == 1
    target.write_bytes(CONTENT[:-1] + b"!")
    with pytest.raises(CheckpointError, match="deleted"):
        get(server, target)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/a",
        "http://127.0.0.1.example.com/a",
        "http://10.0.0.1/a",
        "file:///etc/passwd",
        "ftp://localhost/a",
        "/etc/passwd",
    ],
)
def test_addresses_without_encryption_are_for_this_machine_only(target, url):
    with pytest.raises(CheckpointError, match="expected one of https"):
        fetch(url, target, size=1, sha256="")


def test_redirects_cannot_lead_away_from_encryption(server, target):
    server.status, server.location = [302], "http://example.com/weights.pth"
    with pytest.raises(CheckpointError, match=r"example\.com.*expected one of https"):
        get(server, target)
    server.status, server.location = [302], server.url
    get(server, target)
    assert target.read_bytes() == CONTENT


def hold(path, held, seconds):
    with locked(path):
        held.set()
        time.sleep(seconds)


def test_a_second_process_waits_until_the_first_is_done(tmp_path):
    context = multiprocessing.get_context("spawn")
    held = context.Event()
    other = context.Process(target=hold, args=(tmp_path / "weights", held, 1.0))
    other.start()
    assert held.wait(60)
    begin = time.monotonic()
    with locked(tmp_path / "weights"):
        assert time.monotonic() - begin > 0.5
    other.join()


def test_the_lock_goes_with_its_process(tmp_path):
    context = multiprocessing.get_context("spawn")
    held = context.Event()
    other = context.Process(target=hold, args=(tmp_path / "weights", held, 600.0))
    other.start()
    assert held.wait(60)
    other.kill()
    other.join()
    with locked(tmp_path / "weights"):
        pass
