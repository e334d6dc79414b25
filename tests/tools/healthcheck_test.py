"""The container's health check tells a server that answers from one that does not."""

import contextlib
import http.server
import importlib.util
from pathlib import Path

import browser
import pytest

FILE = Path(__file__).parents[2] / "tools/docker/healthcheck.py"
SPEC = importlib.util.spec_from_file_location("healthcheck", FILE)
assert SPEC is not None and SPEC.loader is not None
healthcheck = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(healthcheck)


@contextlib.contextmanager
def server_of(status: int, token: str | None = None):
    """Serves the health route with this status, or 401 without the token."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            wanted = f"Bearer {token}" if token else None
            admitted = wanted is None or self.headers["Authorization"] == wanted
            known = self.path == "/api/v1/health"
            self.send_response((status if admitted else 401) if known else 404)
            self.end_headers()

        def log_message(self, *_):
            pass

    with browser.on_loopback(http.server.ThreadingHTTPServer, Handler) as address:
        yield address.rstrip("/")


@pytest.mark.parametrize(
    ("status", "token", "given", "healthy"),
    [
        (200, None, None, True),
        (200, "secret", "secret", True),
        # Drawn by the server: the refusal is the sign.
        (200, "secret", None, True),
        (200, "secret", "another", False),
        (500, None, None, False),
        (503, "secret", "secret", False),
    ],
)
def test_a_server_is_healthy_if_it_answers_as_it_should(status, token, given, healthy):
    with server_of(status, token) as address:
        assert healthcheck.is_healthy(address, given) is healthy


def test_no_server_is_not_healthy():
    with server_of(200) as address:
        pass
    assert healthcheck.is_healthy(address, None) is False
