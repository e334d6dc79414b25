"""Runs an application: a socket of its own, and a word when it really listens."""

import errno
import functools
import logging
import signal
import socket
import warnings
from collections.abc import Callable
from types import FrameType

import uvicorn
from fastapi import FastAPI
from PIL import Image

from samjax.web.connections import Connection, Connections

# How long requests that are being answered may take when the server stops, in seconds.
_PATIENCE = 5


def bind(host: str, port: int) -> socket.socket:
    """Takes an address, before anything that takes time is done for it.

    Args:
        host: A name or an address.
        port: 0 takes a free one.

    Raises:
        OSError: It is taken, or not one of this machine; the message is whole.
    """
    try:
        found = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (socket.gaierror, UnicodeError) as error:
        raise OSError(f"there is no address {host}: {error}") from error
    family, kind, protocol, _, address = found[0]
    own = socket.socket(family, kind, protocol)
    try:
        # A port that a server had a moment ago is free.
        own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        own.bind(address)
    except OSError as error:
        own.close()
        if error.errno == errno.EADDRINUSE:
            raise OSError(
                f"port {port} of {host} is in use: stop what uses it, or take another "
                "with --port, 0 for any that is free"
            ) from error
        raise OSError(
            f"{host} port {port} cannot be used: {(error.strerror or '').lower()}"
        ) from error
    return own


def address_of(own: socket.socket, host: str, token: str | None) -> str:
    """The address to open: with the port that it is, and the token."""
    port = own.getsockname()[1]
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}/" + (f"?token={token}" if token else "")


def serve(app: FastAPI, own: socket.socket, when_ready: Callable[[], object]) -> None:
    """Answers until the process is interrupted or told to end; then ends in order.

    Args:
        app: The application.
        own: The socket, bound.
        when_ready: Is called once requests are answered.

    Raises:
        KeyboardInterrupt: It was interrupted, and has ended.
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    # Images are bounded by a number of ours before they are decoded.
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    config = uvicorn.Config(
        app,
        # The plain ones, whatever else is installed.
        loop="asyncio",
        http=functools.partial(Connection, Connections()),  # pyright: ignore
        # So many are accepted before the first of them is looked at.
        backlog=128,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_PATIENCE,
    )
    server = _Server(config, when_ready)
    server.run(sockets=[own])
    if not server.started and not server.should_exit:
        raise OSError("the server could not start: what it says above tells why")
    if server.interrupted:
        raise KeyboardInterrupt


class _Server(uvicorn.Server):
    """Says when it listens, and ends in order when it is told to."""

    def __init__(self, config: uvicorn.Config, when_ready: Callable[[], object]):
        super().__init__(config)
        self._when_ready = when_ready
        self.interrupted = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts, and says so."""
        await super().startup(sockets)
        if self.started and not self.should_exit:
            self._when_ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Ends in order; at a second interruption, at once."""
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True
        # The original notes every signal, to raise it again at the end.
        self.interrupted |= sig == signal.SIGINT
