"""A real server in a process of its own: it listens, it ends, it is killed."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from web.conftest import picture

from samjax.checkpoints import save
from samjax.geometry.masks import encode_rle
from samjax.web.serving import address_of, bind

ROOT = Path(__file__).parents[2]
MASK = encode_rle(np.eye(8, dtype=bool))


@pytest.fixture(scope="module")
def weights(tiny_model, tmp_path_factory) -> Path:
    model, params = tiny_model
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    return save(path, model.config, params)


class Server:
    """`samjax serve` in a process."""

    def __init__(self, folder: Path, weights: Path, *words: str):
        command = [sys.executable, "-m", "samjax", "serve", str(folder), "--api-only"]
        command += ["--port", "0", "--model", str(weights), *words]
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"JAX_PLATFORMS": "cpu"},
        )
        self.address = ""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("serving "):
                self.address = line.split()[-1]
                break
        assert self.address, self.process.stderr.read()

    @property
    def port(self) -> int:
        return int(self.address.partition("//")[2].partition("/")[0].rpartition(":")[2])

    def ask(self, path: str, method: str = "GET", body: bytes | None = None):
        """Returns the status and the content of an answer."""
        headers = {"Content-Type": "application/json"}
        url = f"http://127.0.0.1:{self.port}/api/v1{path}"
        request = urllib.request.Request(url, body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    def end(self, number: int) -> tuple[int, str]:
        """Sends a signal; returns the status and what was said on standard error."""
        self.process.send_signal(number)
        _, said = self.process.communicate(timeout=60)
        return self.process.returncode, said


@pytest.fixture
def start(tmp_path, weights):
    folder, servers = tmp_path / "images", []
    folder.mkdir()
    (folder / "a.png").write_bytes(picture((8, 8)))

    def one(*words) -> Server:
        servers.append(Server(folder, weights, *words))
        return servers[-1]

    yield one
    for server in servers:
        server.process.kill()
        server.process.communicate()


def test_it_answers_at_what_it_prints_and_ends_when_told_to(start, tmp_path):
    server = start()
    assert server.ask("/health") == (200, {"ok": True})
    uploads = tmp_path / "images"
    # An upload that breaks off leaves nothing, and the server is there for others.
    with socket.create_connection(("127.0.0.1", server.port)) as line:
        line.sendall(
            b"PUT /api/v1/images/cut.png HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            b"Content-Length: 9999\r\n\r\n" + picture((8, 8))
        )
    # So does one that is longer than it may be, and does not say how long.
    with socket.create_connection(("127.0.0.1", server.port)) as line:
        line.sendall(
            b"PUT /api/v1/images/long.png HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        piece, answer = bytes(1 << 20), b""
        try:
            for _ in range(200):
                line.sendall(b"100000\r\n" + piece + b"\r\n")
        except OSError:
            pass
        try:
            answer = line.recv(100)
        except OSError:
            pass
        assert not answer or b" 413 " in answer
    assert server.ask("/health") == (200, {"ok": True})
    names = {path.name for path in uploads.iterdir()}
    assert names == {"a.png", ".samjax"}
    status, said = server.end(signal.SIGTERM)
    assert (status, said) == (0, "")


def test_an_interruption_ends_it_as_other_commands(start):
    server = start("--token", "secret")
    assert server.address.endswith("/?token=secret")
    assert server.ask("/health")[0] == 401
    assert server.end(signal.SIGINT) == (130, "samjax: stopped\n")


def test_what_was_answered_outlasts_a_kill_at_any_time(start):
    answered: dict[str, dict] = {}
    for attempt in range(2):
        server = start()
        _, content = server.ask("/images")
        path = f"/images/{content['images'][0]['id']}/annotations"

        def store(writer, server=server, path=path, attempt=attempt):
            for number in range(10_000):
                uuid = f"uuid-{attempt}-{writer}-{number}"
                body = json.dumps({"uuid": uuid, "segmentation": MASK}).encode()
                try:
                    status, stored = server.ask(path, "POST", body)
                except (OSError, ValueError):
                    return
                if status == 201:
                    answered[uuid] = stored

        writers = [threading.Thread(target=store, args=(i,)) for i in range(3)]
        for writer in writers:
            writer.start()
        before = len(answered)
        while len(answered) < before + 20:
            time.sleep(0.01)
        time.sleep(random.Random(attempt).uniform(0, 0.1))
        server.process.kill()
        for writer in writers:
            writer.join()
    server = start()
    _, content = server.ask(path)
    found = {one["uuid"]: one for one in content["annotations"]}
    assert len(answered) >= 40
    assert {uuid: found.get(uuid) for uuid in answered} == answered


def test_a_port_that_is_in_use_is_said_so():
    with bind("127.0.0.1", 0) as first:
        first.listen()
        port = first.getsockname()[1]
        with pytest.raises(OSError, match=f"port {port} of 127.0.0.1 is in use"):
            bind("127.0.0.1", port)
    with pytest.raises(OSError, match="no address"):
        bind("no.such.host.invalid", 0)
    with pytest.raises(OSError, match="cannot be used"):
        bind("192.0.2.1", 0)


def test_the_address_has_what_a_browser_needs():
    with bind("127.0.0.1", 0) as own:
        port = own.getsockname()[1]
        assert address_of(own, "127.0.0.1", None) == f"http://127.0.0.1:{port}/"
        assert address_of(own, "::1", "t") == f"http://[::1]:{port}/?token=t"
