"""HTTP connections with timeouts for requests and a bound on their number.

Any client that reaches the address can open connections and send nothing; each costs a
file descriptor, and a process has a limited number of them. Therefore a request has to
arrive within seconds, and above a number of connections without an authorized request
the oldest of these is closed for every new one. A client that has the token and sends
its request at once is served however many idle connections there are.
"""

import asyncio
from typing import Any

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

try:
    import resource
except ImportError:
    resource = None

EXTENSION = "samjax.connection"
"""Key in the `extensions` of an ASGI scope; its `trust` marks the connection as
authorized."""

# Seconds until the head of a request is complete, and between two chunks of a body.
_FOR_HEAD = 10.0
_FOR_BODY = 60.0
_MOST_UNKNOWN = 256
# Where the system reports no limit of descriptors, as Windows.
_DESCRIPTORS = 512


class Connections:
    """The open connections of a server, the oldest first.

    Args:
        descriptors: Limit of open files and connections of the process; half of it is
            for connections.
    """

    def __init__(self, descriptors: int | None = None):
        if descriptors is None:
            descriptors = _most_descriptors()
        self._most = max(16, descriptors // 2)
        self._most_unknown = min(_MOST_UNKNOWN, self._most // 2)
        self._unknown: dict[Connection, None] = {}
        self._trusted: dict[Connection, None] = {}

    def add(self, connection: "Connection") -> None:
        """Registers a connection, and closes another one if there are too many."""
        self._unknown[connection] = None
        if len(self._unknown) > self._most_unknown:
            self._end(next(iter(self._unknown)))
        elif len(self._unknown) + len(self._trusted) > self._most:
            # Idle keep-alive connections are closed before those with a request.
            idle = (trusted for trusted in self._trusted if trusted.is_idle)
            self._end(next(idle, next(iter(self._unknown))))

    def trust(self, connection: "Connection") -> None:
        """Marks a connection as one with an authorized request."""
        if connection in self._unknown:
            del self._unknown[connection]
            self._trusted[connection] = None

    def discard(self, connection: "Connection") -> None:
        """Removes a connection that ended."""
        self._unknown.pop(connection, None)
        self._trusted.pop(connection, None)

    def _end(self, connection: "Connection") -> None:
        self.discard(connection)
        connection.transport.abort()


class Connection(H11Protocol):
    """An HTTP connection that is closed when a request takes too long to arrive."""

    def __init__(
        self,
        connections: Connections,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ):
        super().__init__(config, server_state, app_state, _loop)
        self._connections = connections
        self._awaits: str | None = None
        self._timer: asyncio.TimerHandle | None = None
        app: Any = self.app

        async def app_with_extension(scope: Any, receive: Any, send: Any) -> None:
            extensions = scope.setdefault("extensions", {})
            extensions[EXTENSION] = {"trust": lambda: connections.trust(self)}
            await app(scope, receive, send)

        self.app: Any = app_with_extension

    @property
    def is_idle(self) -> bool:
        """Whether no request is being processed."""
        return self.cycle is None or self.cycle.response_complete

    # uvloop's transports are not of asyncio's class.
    def connection_made(self, transport: Any) -> None:
        """Registers the connection and starts the timeout of its first request."""
        super().connection_made(transport)
        self._connections.add(self)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Removes the connection and its timeout."""
        super().connection_lost(exc)
        self._connections.discard(self)
        self._set_timer(None)

    def data_received(self, data: bytes) -> None:
        """Processes received bytes and updates the timeout."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """Starts the timeout of the next request."""
        super().on_response_complete()
        self._watch()

    def _watch(self) -> None:
        state = self.conn.their_state
        if state is h11.IDLE:
            # One timeout for the whole head, so that single bytes do not extend it.
            if self._awaits != "head":
                self._set_timer("head")
        else:
            self._set_timer("body" if state is h11.SEND_BODY else None)

    def _set_timer(self, awaits: str | None) -> None:
        self._awaits = awaits
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if awaits is not None and not self.transport.is_closing():
            seconds = _FOR_HEAD if awaits == "head" else _FOR_BODY
            self._timer = self.loop.call_later(seconds, self._give_up)

    def _give_up(self) -> None:
        if self._awaits == "body" and self.flow.read_paused:
            # The application has not read yet: the client is not at fault.
            self._set_timer("body")
        else:
            self.transport.abort()


def _most_descriptors() -> int:
    if resource is None:
        return _DESCRIPTORS
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1 << 20 if soft == resource.RLIM_INFINITY else soft
