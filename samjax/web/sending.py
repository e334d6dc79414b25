"""A response that streams an open file."""

import os
from collections.abc import Mapping
from io import BufferedReader

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

_CHUNK = 1 << 18


class FileStream(Response):
    """Sends an open file from its descriptor, and closes it.

    The path is not opened again, so that the file that was checked is the one sent.
    """

    def __init__(
        self, file: BufferedReader, *, media_type: str, headers: Mapping[str, str]
    ) -> None:
        # Without `super().__init__`, which takes the whole content.
        self.status_code = 200
        self.media_type = media_type
        self.background = None
        self._file = file
        self._size = os.fstat(file.fileno()).st_size
        self.init_headers({**headers, "Content-Length": str(self._size)})

    def sends(self, file: BufferedReader) -> bool:
        """Whether the response sends this file."""
        return self._file is file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the response (ASGI)."""
        try:
            await send(
                {
                    "type": "http.response.start",
                    "status": self.status_code,
                    "headers": self.raw_headers,
                }
            )
            # Not more than Content-Length, should the file have grown.
            left = 0 if scope["method"] == "HEAD" else self._size
            while left > 0:
                size = min(left, _CHUNK)
                chunk = await run_in_threadpool(self._file.read, size)
                if not chunk:
                    raise OSError(f"{self._file.name} was cut off while it was sent")
                left -= len(chunk)
                await send(
                    {"type": "http.response.body", "body": chunk, "more_body": True}
                )
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._file.close()
