"""Connections that say nothing, little, or too slowly; and who has the token meanwhile."""

import functools
import socket
import threading
import time

import pytest

pytest.importorskip("uvicorn")

import uvicorn

from samjax.web import connections as module
from samjax.web.connections import Connection, Connections
from samjax.web.guard import Guard
from samjax.web.settings import Settings

TOKEN = b"Authorization: Bearer secret\r\n"
WHOLE = b"GET /api/v1/health HTTP/1.1\r\nHost: x\r\n" + TOKEN + b"\r\n"
PUT = b"PUT /api/v1/images/a.png HTTP/1.1\r\nHost: x\r\nContent-Length: 40\r\n"
# In seconds, in place of 10 and 60.
HEAD, BODY = 1.0, 1.5


async def answer(scope, receive, send):
    """Reads all of a body, and says that it did."""
    while scope["type"] == "http":
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        if not message.get("more_body"):
            break
    headers = [(b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
def port(tmp_path, monkeypatch):
    """A server behind its guard that has few descriptors and little time."""
    monkeypatch.setattr(module, "_FOR_HEAD", HEAD)
    monkeypatch.setattr(module, "_FOR_BODY", BODY)
    settings = Settings(
        folder=tmp_path, state=tmp_path, cache=tmp_path, host="0.0.0.0", token="secret"
    )
    config = uvicorn.Config(
        Guard(answer, settings),
        http=functools.partial(Connection, Connections(64)),  # pyright: ignore
        ws="none",
        lifespan="off",
        log_config=None,
        backlog=64,
    )
    server = uvicorn.Server(config)
    with socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [own]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield own.getsockname()[1]
        server.should_exit = True
        server.force_exit = True
        thread.join()


def open_line(port: int, *said: bytes) -> socket.socket:
    line = socket.create_connection(("127.0.0.1", port), 30)
    for part in said:
        line.sendall(part)
    return line


def ask(port: int) -> bytes:
    with open_line(port, WHOLE) as line:
        return line.recv(12)


def responses(line: socket.socket, number: int = 1) -> bytes:
    """Receives so many answers."""
    said = b""
    while said.count(b"\r\n\r\nok") < number and (part := line.recv(1000)):
        said += part
    return said


def is_closed(line: socket.socket) -> bool:
    """Waits for the end of a connection, past whatever is answered before."""
    try:
        while line.recv(1000):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


HALF_OPEN = {
    "nothing": b"",
    "half of the first line": b"GET /api/v1",
    "headers without an end": b"GET / HTTP/1.1\r\nX: ",
    "many headers without an end": b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 500,
    "a head with the token without an end": WHOLE[:-2],
    "a body that never comes": PUT + b"\r\n",
    "a body that never comes, with a wrong token": PUT
    + b"Authorization: Bearer x\r\n\r\n",
    "no HTTP": b"\x16\x03\x01\x02\x00\x01",
}


@pytest.mark.parametrize("kind", HALF_OPEN)
def test_who_has_the_token_is_answered_however_many_say_less(port, kind):
    held = [open_line(port, HALF_OPEN[kind]) for _ in range(40)]
    assert ask(port) == b"HTTP/1.1 200"
    held += [open_line(port, HALF_OPEN[kind]) for _ in range(10)]
    assert ask(port) == b"HTTP/1.1 200"
    # All of them are let go, and none is waited for.
    assert all(is_closed(line) for line in held)
    for line in held:
        line.close()


def test_a_head_that_trickles_in_has_no_longer_than_one_that_stops(port):
    with open_line(port) as line:
        start = time.monotonic()
        try:
            for byte in b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 9000:
                line.sendall(bytes([byte]))
                time.sleep(HEAD / 10)
        except OSError:
            pass
        assert time.monotonic() - start < 10 * HEAD


def test_half_of_a_second_request_is_not_waited_for(port):
    with open_line(port, WHOLE) as line:
        assert responses(line).startswith(b"HTTP/1.1 200")
        line.sendall(WHOLE[:20])
        assert is_closed(line)


def test_requests_one_after_the_other_share_a_connection(port):
    with open_line(port) as line:
        for _ in range(6):
            line.sendall(WHOLE)
            assert responses(line).startswith(b"HTTP/1.1 200")
            time.sleep(HEAD / 4)
        # Two at once, of which the second waits for the first.
        line.sendall(WHOLE + WHOLE)
        assert responses(line, 2).count(b"HTTP/1.1 200") == 2


def test_a_slow_body_is_taken_and_one_that_stops_is_not(port):
    with open_line(port, PUT + TOKEN + b"\r\n") as line:
        for _ in range(8):
            time.sleep(BODY / 4)
            line.sendall(b"12345")
        assert line.recv(12) == b"HTTP/1.1 200"
    with open_line(port, PUT + TOKEN + b"\r\n12345") as line:
        assert is_closed(line)


def test_those_who_are_answered_stay_when_many_come(port):
    with open_line(port, PUT + TOKEN + b"\r\n12345") as line:
        time.sleep(0.2)
        held = [open_line(port) for _ in range(40)]
        line.sendall(b"1" * 35)
        assert line.recv(12) == b"HTTP/1.1 200"
        for one in held:
            one.close()


@pytest.mark.parametrize("descriptors", [32, 256, 1024, 1 << 20])
def test_at_least_half_of_the_descriptors_are_left_for_files(descriptors):
    counted = Connections(descriptors)
    assert counted._most <= max(16, descriptors // 2)
    assert counted._most_unknown <= counted._most // 2
