"""Weights to read and write: a small model of odd sizes, in every naming."""

import http.server
import threading
from pathlib import Path

import jax
import numpy as np
import pytest

from samjax.checkpoints import save
from samjax.models import SamConfig
from samjax.models.weight_map import entries

# No two sizes are equal where the table could mix them up, and few are the default.
CONFIG = SamConfig(
    image_size=80,
    patch_size=16,
    embed_dim=24,
    depth=3,
    num_heads=2,
    global_attention_blocks=(1,),
    window_size=2,
    mlp_ratio=3.0,
    prompt_embed_dim=64,
    mask_in_chans=20,
    decoder_mlp_dim=40,
)


@pytest.fixture(scope="session")
def config() -> SamConfig:
    """Sizes of the small model."""
    return CONFIG


@pytest.fixture
def state(rng) -> dict[str, np.ndarray]:
    """A state dict under released names, every number random, of a trained scale."""

    def draw(entry):
        noise = rng.standard_normal(entry.shape, np.float32)
        if noise.ndim > 1:
            return noise / np.sqrt(np.prod(entry.shape[1:]), dtype=np.float32)
        scale = entry.path[-1] == "scale"
        return np.float32(0.1) * noise + np.float32(scale)

    return {entry.released: draw(entry) for entry in entries(CONFIG)}


@pytest.fixture
def params(state) -> dict:
    """The same numbers as a parameter tree, put together without the reader."""
    tree: dict = {}
    for entry in entries(CONFIG):
        *folders, leaf = entry.path
        place = tree
        for name in folders:
            place = place.setdefault(name, {})
        place[leaf] = entry.to_tree(state[entry.released])
    return tree


@pytest.fixture
def own_file(tmp_path, params) -> Path:
    """The small model in samjax's own form."""
    return save(tmp_path / "own.safetensors", CONFIG, params)


@pytest.fixture
def assert_same():
    """Compares parameter trees bit by bit."""

    def compare(got, expected):
        got, expected = (
            {
                jax.tree_util.keystr(path): leaf
                for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
            }
            for tree in (got, expected)
        )
        assert sorted(got) == sorted(expected)
        for name, leaf in expected.items():
            assert got[name].shape == leaf.shape, name
            assert got[name].dtype == leaf.dtype, name
            assert np.asarray(got[name]).tobytes() == leaf.tobytes(), name

    return compare


class Server(http.server.ThreadingHTTPServer):
    """A loopback server that misbehaves as it is told.

    Attributes:
        content: Body of every response.
        cut: Bytes of each answer after which it hangs up; None never.
        cuts: The same for the next answers, one a request.
        ranges: Whether it answers requests for a part.
        tag: Its `ETag`.
        status: Answers to give before any other, one a request.
        requests: The headers that it got.
    """

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.cut, self.ranges, self.tag = b"", None, True, '"one"'
        self.status: list[int] = []
        self.cuts: list[int] = []
        self.location = ""
        self.requests: list[dict[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/weights.pth"

    def ranges_asked(self) -> list[str | None]:
        return [headers.get("Range") for headers in self.requests]


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self):
        server = self.server
        server.requests.append(dict(self.headers))
        if server.status:
            self.send_response(server.status.pop(0))
            self.send_header("Location", server.location)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        content, start = server.content, 0
        asked = self.headers.get("Range")
        same = self.headers.get("If-Range", server.tag) == server.tag
        if asked and server.ranges and same:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            self.send_response(206)
            last = len(content) - 1
            self.send_header("Content-Range", f"bytes {start}-{last}/{len(content)}")
        else:
            self.send_response(200)
        body = content[start:]
        self.send_header("Content-Length", str(len(body)))
        if server.tag:
            self.send_header("ETag", server.tag)
        self.end_headers()
        self.wfile.write(body[: server.cuts.pop(0) if server.cuts else server.cut])
        self.close_connection = True

    def log_message(self, format, *args):
        """Says nothing."""


@pytest.fixture
def server():
    """A running server of one file."""
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()
