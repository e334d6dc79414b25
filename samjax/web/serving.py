"""Runs an application on a bound socket, with a callback once it listens."""

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

# Seconds that running requests may take when the server stops.
_PATIENCE = 5


def bind(host: str, port: int) -> socket.socket:
    """Binds a socket; first of all, so that a taken port is reported at once.

    Args:
        host: A name or an address.
        port: A port; 0 for any free one.

    Raises:
        OSError: The address is in use, or is none of this machine; the message is for
            users.
    """
    try:
        addresses = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (socket.gaierror, UnicodeError) as error:
        raise OSError(f"there is no address {host}: {error}") from error
    family, kind, protocol, _, address = addresses[0]
    own = socket.socket(family, kind, protocol)
    try:
        # Allows a port that a server has just left (TIME_WAIT).
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
    """Returns the URL to open, with the actual port and the token."""
    port = own.getsockname()[1]
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}/" + (f"?token={token}" if token else "")


def serve(app: FastAPI, own: socket.socket, when_ready: Callable[[], object]) -> None:
    """Serves until the process is interrupted or terminated, then shuts down in order.

    Args:
        app: The application.
        own: The bound socket.
        when_ready: Called once the server accepts requests.

    Raises:
        OSError: The server could not start.
        KeyboardInterrupt: The process was interrupted; the server has shut down.
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    # `image_files` has a bound of its own, checked before images are decoded.
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    config = uvicorn.Config(
        app,
        # Not uvloop or httptools, even if installed: `Connection` extends h11's protocol.
        loop="asyncio",
        http=functools.partial(Connection, Connections()),  # pyright: ignore
        # Connections in the backlog are accepted together, before `Connections` acts.
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
        raise OSError("the server could not start: see the messages above")
    if server.interrupted:
        raise KeyboardInterrupt


class _Server(uvicorn.Server):
    """Calls back when it listens, and shuts down in order at a signal."""

    def __init__(self, config: uvicorn.Config, when_ready: Callable[[], object]):
        super().__init__(config)
        self._when_ready = when_ready
        self.interrupted = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts, and calls back."""
        await super().startup(sockets)
        if self.started and not self.should_exit:
            self._when_ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Shuts down in order; at a second interrupt, at once."""
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True
        # uvicorn's method records every signal and raises it again at the end.
        self.interrupted |= sig == signal.SIGINT
