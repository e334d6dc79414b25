"""Static files of the page: looked up, typed, and sent compressed."""

import gzip
import hashlib
import os
import threading
from importlib import resources
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple

from starlette.datastructures import Headers
from starlette.responses import Response

from samjax.web import beneath
from samjax.web.disk_cache import DiskCache
from samjax.web.sending import FileStream

RUNTIME = (
    "ort.wasm.min.mjs",
    "ort-wasm-simd-threaded.mjs",
    "ort-wasm-simd-threaded.wasm",
)

# The system's table may lack the newer types, or have others.
MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".jpg": "image/jpeg",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".onnx": "application/octet-stream",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".webp": "image/webp",
    ".woff2": "font/woff2",
}
_COMPRESSED_ALREADY = {".jpg", ".png", ".webp", ".woff2"}
_TOO_SMALL = 1024


class _Known(NamedTuple):
    """A file's hash, and the status of the file when it was computed."""

    inode: int
    size: int
    changed: int
    sha256: str


class StaticFiles:
    """Sends files with their hash as ETag, compressed with gzip where that helps.

    Compressed files are cached. Threads may share it.

    Args:
        compressed: Cache of compressed files.
    """

    def __init__(self, compressed: DiskCache):
        self._compressed = compressed
        self._lock = threading.Lock()
        self._known: dict[str, _Known] = {}

    def respond(
        self, file: BufferedReader, request: Headers, *, forever: bool = False
    ) -> Response:
        """Returns a response with a file, or 304 if the client has it.

        Args:
            file: The open file; it is closed when it was sent.
            request: Headers of the request.
            forever: Whether the URL has the hash of the content, so that it never
                changes.

        Raises:
            OSError: The file cannot be read.
        """
        try:
            response = self._respond(file, request, forever)
        except BaseException:
            file.close()
            raise
        if not isinstance(response, FileStream) or not response.sends(file):
            file.close()
        return response

    def _respond(
        self, file: BufferedReader, request: Headers, forever: bool
    ) -> Response:
        digest = self._digest(file)
        rule = "private, max-age=31536000, immutable" if forever else "no-cache"
        headers = {
            "ETag": f'"{digest}"',
            "Cache-Control": rule,
            "Vary": "Accept-Encoding",
        }
        # Proxies that compress a response turn its ETag into a weak one (W/).
        known = {tag.strip() for tag in request.get("if-none-match", "").split(",")}
        if known & {f'"{digest}"', f'W/"{digest}"'}:
            return Response(status_code=304, headers=headers)
        suffix = Path(file.name).suffix
        media_type = MEDIA_TYPES.get(suffix, "application/octet-stream")
        if suffix not in _COMPRESSED_ALREADY and _takes_gzip(request):
            compressed = self._gzipped(file, digest)
            if compressed is not None:
                file = compressed
                headers["Content-Encoding"] = "gzip"
        return FileStream(file, media_type=media_type, headers=headers)

    def _digest(self, file: BufferedReader) -> str:
        status = os.fstat(file.fileno())
        facts = (status.st_ino, status.st_size, status.st_mtime_ns)
        known = self._known.get(file.name)
        if known is None or known[:3] != facts:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
            known = _Known(*facts, digest)
            self._known[file.name] = known
        return known.sha256

    def _gzipped(self, file: BufferedReader, digest: str) -> BufferedReader | None:
        if os.fstat(file.fileno()).st_size < _TOO_SMALL:
            return None
        key = f"{digest}.gz"
        # Under the lock, so that concurrent requests compress a file once.
        with self._lock:
            compressed = self._compressed.open(key)
            if compressed is not None:
                return compressed
            try:
                content = gzip.compress(file.read(), 9, mtime=0)
                self._compressed.put(key, lambda hidden: hidden.write_bytes(content))
            except OSError:
                # On a full disk the file is sent uncompressed.
                return None
            finally:
                file.seek(0)
            return self._compressed.open(key)


def page_folder() -> Path:
    """Returns the folder of the page's files."""
    return Path(str(resources.files("samjax.web"))) / "page"


def missing_files(page: Path) -> list[str]:
    """Returns the names of required files that are missing."""
    required = ["index.html", *(f"vendor/{name}" for name in RUNTIME)]
    return [name for name in required if not (page / name).is_file()]


def find_file(page: Path, name: str) -> BufferedReader | None:
    """Opens a file of the page by its path in the folder; None if there is none."""
    parts = name.split("/")
    if any(not part or part.startswith(".") for part in parts):
        return None
    if any(c in name for c in "\\\0:"):
        return None
    try:
        return beneath.open_inside(page.resolve(), name)
    except (OSError, ValueError):
        return None


def _takes_gzip(request: Headers) -> bool:
    accepted = {}
    for coding in request.get("accept-encoding", "").split(","):
        name, _, quality = coding.strip().partition(";")
        accepted[name.strip().lower()] = quality.replace(" ", "")
    return accepted.get("gzip", "q=0") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
