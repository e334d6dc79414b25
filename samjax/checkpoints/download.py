"""Downloads a file, checked by its size and hash, however often the connection breaks.

A download is written to `NAME.partial`. When it is cut off, the next try requests the
rest (`Range`) on the condition that the file has not changed (`If-Range` with its `ETag`
or date, kept in `NAME.partial.tag`); a server that ignores the condition sends the whole
file, and the download starts again. The file is hashed before it is renamed: one with
another hash is deleted, with an error.
"""

import contextlib
import hashlib
import http.client
import ipaddress
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from samjax.checkpoints.errors import CheckpointError
from samjax.terminal import bar_console


def download(
    url: str,
    path: Path,
    *,
    size: int | None,
    sha256: str | None = None,
    md5: str | None = None,
) -> Path:
    """Downloads a file, or resumes a download.

    Args:
        url: An https address; plain http only to this machine.
        path: Path of the file; its folder is made. An existing file is verified.
        size: Expected bytes; None asks the server.
        sha256: Expected hash, in hexadecimal; None if it is not known.
        md5: Expected MD5, in hexadecimal, for files that are published with it alone.

    Returns:
        The path.

    Raises:
        CheckpointError: If the server does not have the file, has another one, or
            cannot be reached in `MAX_TRIES` tries. Bytes that have arrived are kept for
            the next call, unless they are wrong.
    """
    _check_address(url)
    if size is None:
        size = _size_on_server(url)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    if path.is_file():
        # It may be from an interrupted run, or put there by hand: verify it.
        path.replace(partial)
    with _progress() as progress:
        task = progress.add_task(path.name, total=size)
        _fetch(url, partial, size, lambda done: progress.update(task, completed=done))
    _tag_file(partial).unlink(missing_ok=True)
    for name, kind, expected in (("SHA-256", "sha256", sha256), ("MD5", "md5", md5)):
        if expected is None:
            continue
        with open(partial, "rb") as file:
            actual = hashlib.file_digest(file, kind).hexdigest()
        if actual != expected:
            partial.unlink()
            raise CheckpointError(
                f"The file from {url} is not the released one and has been deleted: got "
                f"{name} {actual}, expected {expected}. Load it again, or download it in "
                "another way and pass its path."
            )
    partial.replace(path)
    return path


Report = Callable[[int], None]


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds a lock on a path, so that two processes do not write the file at once.

    The lock ends with the process, however that ends. The lock file stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.with_name(f"{path.name}.lock"), "w") as file:
        try:
            import fcntl
        except ImportError:  # Windows: two processes may each do the work.
            yield
            return
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _size_on_server(url: str) -> int:
    """Returns the bytes of a file on a server, from the head of its answer."""
    request = urllib.request.Request(url, headers=_HEADERS)
    try:
        with _opener().open(request, timeout=TIMEOUT) as response:
            length = response.headers.get("Content-Length", "")
    except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()
        raise CheckpointError(
            f"{url} cannot be reached: {error}. Try again, or download it in another way."
        ) from error
    if not length.isdigit():
        raise CheckpointError(
            f"{url} does not tell the size of its file: download it in another way."
        )
    return int(length)


def _fetch(url: str, partial: Path, size: int, report: Report) -> None:
    """Downloads until `partial` is complete, in as many connections as it takes."""
    failures = 0
    while (done := _length(partial)) != size:
        if done > size:
            _forget(partial)
            continue
        try:
            _continue(url, partial, size, report)
        except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()
                _give_up_if_final(error, url)
                if error.code == 416:
                    _forget(partial)
            # A connection that brought a good part of the file counts as progress.
            moved = _length(partial) - done
            failures = 1 if moved > max(size // 100, 1) else failures + 1
            if failures >= MAX_TRIES:
                raise CheckpointError(
                    f"The download from {url} failed {failures} times, lastly with: "
                    f"{error}. {_length(partial)} of {size} bytes have arrived and "
                    "are kept: load it again to go on, or download it in another way "
                    "and pass its path."
                ) from error
            time.sleep(min(BACKOFF * 2**failures, 30.0))
    report(size)


def _continue(url: str, partial: Path, size: int, report: Report) -> None:
    """Appends the data of one connection to `partial`, or starts it again."""
    done = _length(partial)
    headers = dict(_HEADERS)
    if done:
        headers["Range"] = f"bytes={done}-"
        if _tag_file(partial).exists():
            headers["If-Range"] = _tag_file(partial).read_text()
    request = urllib.request.Request(url, headers=headers)
    with _opener().open(request, timeout=TIMEOUT) as response:
        if response.status == 206:
            expected = f"bytes {done}-{size - 1}/{size}"
            if response.headers.get("Content-Range") != expected:
                _forget(partial)
                raise http.client.HTTPException(
                    f"the server sent {response.headers.get('Content-Range')}"
                )
        else:
            done = 0
            _check_length(response, url, size)
            _forget(partial)
            if tag := _validator(response):
                _tag_file(partial).write_text(tag)
        with open(partial, "ab") as file:
            while chunk := response.read(min(CHUNK, size + 1 - done)):
                file.write(chunk)
                done += len(chunk)
                report(done)
    if done < size:
        raise http.client.HTTPException(f"cut off after {done} bytes")


def _check_length(response: Any, url: str, size: int) -> None:
    length = response.headers.get("Content-Length")
    if length is not None and length != str(size):
        raise CheckpointError(
            f"{url} is not the released file: it has {length} bytes, expected {size}. "
            "If SAMJAX_RELEASES_URL is set, check it."
        )


def _give_up_if_final(error: urllib.error.HTTPError, url: str) -> None:
    if 400 <= error.code < 500 and error.code not in (408, 416, 425, 429):
        raise CheckpointError(
            f"{url} answers {error.code} {error.reason}. If SAMJAX_RELEASES_URL is set, "
            "check it; else download the file in another way and pass its path."
        ) from error


def _validator(response: Any) -> str | None:
    """Returns the strong ETag or the date of the file's version, if there is one."""
    tag = response.headers.get("ETag")
    if tag and not tag.startswith("W/"):
        return tag
    return response.headers.get("Last-Modified")


def _check_address(url: str) -> None:
    parts = urllib.parse.urlsplit(url)
    host = parts.hostname or ""
    try:
        here = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        here = False
    if parts.scheme != "https" and not (parts.scheme == "http" and here):
        raise CheckpointError(f"Got the address {url}, expected one of https.")


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but only to https."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        _check_address(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_Redirects)


def _progress() -> Progress:
    console = bar_console()
    return Progress(
        "{task.description}",
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )


def _length(partial: Path) -> int:
    return partial.stat().st_size if partial.exists() else 0


def _forget(partial: Path) -> None:
    partial.unlink(missing_ok=True)
    _tag_file(partial).unlink(missing_ok=True)


def _tag_file(partial: Path) -> Path:
    return partial.with_name(f"{partial.name}.tag")


_HEADERS = {"User-Agent": "samjax", "Accept-Encoding": "identity"}

MAX_TRIES = 5
# Seconds before the second try; doubled at each further one.
BACKOFF = 0.5
TIMEOUT = 30.0
CHUNK = 2**20
