"""A real browser and a real server, for what drives the page as a person would."""

import contextlib
import functools
import http.server
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# No GPU, no network but this machine, nothing in the background.
OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
)


def find_browser() -> str | None:
    """The path of a Chromium; `SAMJAX_BROWSER` names another."""
    named = os.environ.get("SAMJAX_BROWSER")
    return named or next(filter(None, map(shutil.which, NAMES)), None)


def start_browser(playwright, **options):
    """A browser with a profile of its own, as a context of playwright's."""
    return playwright.chromium.launch_persistent_context(
        tempfile.mkdtemp(prefix="samjax-browser-"),
        executable_path=find_browser(),
        headless=True,
        args=list(OPTIONS),
        **options,
    )


@contextlib.contextmanager
def on_loopback(
    kind: type[http.server.HTTPServer], handler: Callable[..., Any]
) -> Iterator[str]:
    """Runs a server in a thread on a free port of this machine, and gives its address."""
    server = kind(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def host_of(folder: Path, headers: Mapping[str, str] | None = None) -> Iterator[str]:
    """Serves the files of a folder, with these headers, and gives its address."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def end_headers(self):
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            super().end_headers()

        def log_message(self, *_):
            pass

    handler = functools.partial(Handler, directory=str(folder))
    with on_loopback(http.server.ThreadingHTTPServer, handler) as address:
        yield address


class Server:
    """A running `samjax serve`.

    Attributes:
        process: It.
        address: Where it answers.
    """

    def __init__(
        self, folder: Path, words: Sequence[str] = (), cache: Path | None = None
    ):
        command = [sys.executable, "-m", "samjax", "serve", str(folder), *words]
        if "--port" not in words:
            command += ["--port", "0"]
        environment = dict(os.environ)
        if cache is not None:
            environment["SAMJAX_CACHE"] = str(cache)
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, env=environment, text=True
        )
        self.address = self._wait_for_address()

    def _wait_for_address(self) -> str:
        assert self.process.stdout is not None
        said = ""
        for line in self.process.stdout:
            said += line
            if found := re.search(r"http://\S+", line):
                return found[0].rstrip("/")
        raise RuntimeError(f"the server did not start; it said: {said}")

    @property
    def port(self) -> str:
        """Its port, to start another at the same address."""
        return self.address.rpartition(":")[2]

    def kill(self) -> None:
        """Ends it as a power cut would."""
        self.process.kill()
        self._end()

    def stop(self) -> None:
        """Asks it to end, and waits."""
        self.process.terminate()
        self._end()

    def _end(self) -> None:
        self.process.wait(timeout=60)
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextlib.contextmanager
def running_server(
    folder: Path, *words: str, cache: Path | None = None
) -> Iterator[Server]:
    """Serves a folder as long as it is needed."""
    server = Server(folder, words, cache)
    try:
        yield server
    finally:
        server.stop()
