"""The files of the page: found, typed, and sent compressed."""

import gzip
import hashlib
import threading
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from starlette.datastructures import Headers
from starlette.responses import FileResponse, Response

from samjax.web.disk_cache import DiskCache

RUNTIME = (
    "ort.wasm.min.mjs",
    "ort-wasm-simd-threaded.mjs",
    "ort-wasm-simd-threaded.wasm",
)

# The system's own table may say anything of the newer ones, or nothing.
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
    """A file's hash, and what it was taken of."""

    size: int
    changed: int
    sha256: str


class StaticFiles:
    """Sends files whole, with their hash as a tag, compressed where that helps.

    They are compressed once, and kept. Safe to share between threads.

    Args:
        compressed: Where compressed files are kept.
    """

    def __init__(self, compressed: DiskCache):
        self._compressed = compressed
        self._lock = threading.Lock()
        self._known: dict[Path, _Known] = {}

    def respond(self, path: Path, asked: Headers, *, forever: bool = False) -> Response:
        """Answers with a file, or that it is the one who asks has.

        Args:
            path: The file.
            asked: Headers of the request.
            forever: Whether the address names the content, so that it never changes.

        Raises:
            OSError: The file cannot be read.
        """
        digest = self._digest(path)
        rule = "private, max-age=31536000, immutable" if forever else "no-cache"
        headers = {
            "ETag": f'"{digest}"',
            "Cache-Control": rule,
            "Vary": "Accept-Encoding",
        }
        # A tag may be weak by now: whoever compresses on the way marks it so.
        known = {one.strip() for one in asked.get("if-none-match", "").split(",")}
        if known & {f'"{digest}"', f'W/"{digest}"'}:
            return Response(status_code=304, headers=headers)
        media_type = MEDIA_TYPES.get(path.suffix, "application/octet-stream")
        if path.suffix not in _COMPRESSED_ALREADY and _takes_gzip(asked):
            smaller = self._smaller(path, digest)
            if smaller is not None:
                path = smaller
                headers["Content-Encoding"] = "gzip"
        return FileResponse(path, media_type=media_type, headers=headers)

    def _digest(self, path: Path) -> str:
        status = path.stat()
        known = self._known.get(path)
        if known is None or known[:2] != (status.st_size, status.st_mtime_ns):
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            known = _Known(status.st_size, status.st_mtime_ns, digest)
            self._known[path] = known
        return known.sha256

    def _smaller(self, path: Path, digest: str) -> Path | None:
        if path.stat().st_size < _TOO_SMALL:
            return None
        key = f"{digest}.gz"
        # Once, even if several ask for the same file at first.
        with self._lock:
            found = self._compressed.use(key)
            if found is not None:
                return found
            try:
                content = gzip.compress(path.read_bytes(), 9, mtime=0)
                return self._compressed.put(
                    key, lambda hidden: hidden.write_bytes(content)
                )
            except OSError:
                # A full disk is no reason not to answer.
                return None


def page_folder() -> Path:
    """Where the page's own files are."""
    return Path(str(resources.files("samjax.web"))) / "page"


def missing_files(page: Path) -> list[str]:
    """What the page cannot do without, and is not there."""
    wanted = ["index.html", *(f"vendor/{name}" for name in RUNTIME)]
    return [name for name in wanted if not (page / name).is_file()]


def find_file(page: Path, name: str) -> Path | None:
    """A file of the page by its path in it; None if there is none, or it leads out."""
    parts = name.split("/")
    if any(not part or part.startswith(".") for part in parts):
        return None
    if any(c in name for c in "\\\0:"):
        return None
    path = page.joinpath(*parts)
    try:
        inside = path.resolve(strict=True).is_relative_to(page.resolve())
    except (OSError, RuntimeError):
        return None
    return path if inside and path.is_file() else None


def _takes_gzip(asked: Headers) -> bool:
    accepted = {}
    for one in asked.get("accept-encoding", "").split(","):
        name, _, quality = one.strip().partition(";")
        accepted[name.strip().lower()] = quality.replace(" ", "")
    return accepted.get("gzip", "q=0") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
