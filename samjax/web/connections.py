"""Connections: how long a request may take to arrive, and who gives way when many come.

Whoever reaches the address can open connections, and say nothing on them. Each of those
costs a file descriptor, of which a process has so many. So a request has to begin
within seconds, and beyond a number of connections that have not asked for anything they
may have, the oldest of them is closed for every new one: who has the token and asks at
once is let in, however many others there are.
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
"""In the `extensions` of a request's scope, with `trust`, to be called for who may ask."""

# In seconds: until the head of a request is whole; and between two pieces of a body.
_FOR_HEAD = 10.0
_FOR_BODY = 60.0
_MOST_UNKNOWN = 256
# Where the system says nothing of descriptors, as Windows.
_DESCRIPTORS = 512


class Connections:
    """The open connections of a server, the oldest first.

    Args:
        descriptors: How many files and connections the process may have open; half are
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
        """Counts a new one; another may have to go for it."""
        self._unknown[connection] = None
        if len(self._unknown) > self._most_unknown:
            self._end(next(iter(self._unknown)))
        elif len(self._unknown) + len(self._trusted) > self._most:
            # As many as can be are at work: those that wait for nothing go first.
            idle = (one for one in self._trusted if one.is_idle)
            self._end(next(idle, next(iter(self._unknown))))

    def trust(self, connection: "Connection") -> None:
        """Notes that a connection asked for what it may have."""
        if connection in self._unknown:
            del self._unknown[connection]
            self._trusted[connection] = None

    def discard(self, connection: "Connection") -> None:
        """Forgets one that ended."""
        self._unknown.pop(connection, None)
        self._trusted.pop(connection, None)

    def _end(self, connection: "Connection") -> None:
        self.discard(connection)
        connection.transport.abort()


class Connection(H11Protocol):
    """A connection of HTTP on which what is awaited has to come in time."""

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

        async def answer(scope: Any, receive: Any, send: Any) -> None:
            extensions = scope.setdefault("extensions", {})
            extensions[EXTENSION] = {"trust": lambda: connections.trust(self)}
            await app(scope, receive, send)

        self.app: Any = answer

    @property
    def is_idle(self) -> bool:
        """Whether nothing is being answered."""
        return self.cycle is None or self.cycle.response_complete

    # uvloop's transports are not of asyncio's class.
    def connection_made(self, transport: Any) -> None:
        """Begins to wait for a request."""
        super().connection_made(transport)
        self._connections.add(self)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends."""
        super().connection_lost(exc)
        self._connections.discard(self)
        self._set_timer(None)

    def data_received(self, data: bytes) -> None:
        """Takes what arrived."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """Begins to wait for the next request."""
        super().on_response_complete()
        self._watch()

    def _watch(self) -> None:
        state = self.conn.their_state
        if state is h11.IDLE:
            # From the first byte to the last, however they trickle in.
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
            # It is the server that has not taken yet what came.
            self._set_timer("body")
        else:
            self.transport.abort()


def _most_descriptors() -> int:
    if resource is None:
        return _DESCRIPTORS
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1 << 20 if soft == resource.RLIM_INFINITY else soft
