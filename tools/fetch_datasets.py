"""Lists where the datasets of SAM's single-point evaluation come from, and downloads some.

    python tools/fetch_datasets.py                        a line per set
    python tools/fetch_datasets.py bbbc038v1 doors        pages, licences and files of two
    python tools/fetch_datasets.py bbbc038v1 --to sets    downloads its files to sets/bbbc038v1

Files are downloaded that need neither registration nor a signed agreement; of other sets
the page is named. A download that was cut off goes on at the next call. Files with a
published MD5 are checked; of every file the SHA-256 is written to `SHA256SUMS` beside it,
by which `sha256sum --check` and the next call verify it. Archives are not unpacked. Read
the licence first: most sets are for research alone.
"""

from __future__ import annotations

import hashlib
import sys
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from samjax.checkpoints.download import download
from samjax.checkpoints.errors import CheckpointError
from samjax.evaluation.datasets.published import Download, PublishedSet
from samjax.evaluation.datasets.sa23 import SA23
from samjax.files import write_bytes

SUMS = "SHA256SUMS"


@dataclass(frozen=True, kw_only=True)
class Config:
    """The sets, and where files go."""

    names: Annotated[
        tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="[NAME ...]")
    ] = ()
    """Names of sets; without any, all are listed."""

    to: Path | None = None
    """Folder to download to, with a folder per set."""


def main(config: Config) -> int:
    """Lists the sets or downloads them; returns the status of the process."""
    if unknown := [name for name in config.names if name not in SA23]:
        print(f"{unknown[0]}: expected one of {', '.join(SA23)}", file=sys.stderr)
        return 2
    if not config.names:
        for name, row in SA23.items():
            print(listed(name, row))
        return 0
    failed = False
    for name in config.names:
        print(described(name, SA23[name]))
        if config.to is None:
            continue
        for file in SA23[name].files:
            try:
                print(fetch(file, config.to / name))
            except (CheckpointError, OSError) as error:
                print(error, file=sys.stderr)
                failed = True
    return int(failed)


def listed(name: str, row: PublishedSet) -> str:
    """Returns the line of a set in the list of all."""
    how = f"{len(row.files)} files" if len(row.files) > 1 else "1 file"
    return f"{name:13} {how if row.files else 'by hand':8} {row.page}"


def described(name: str, row: PublishedSet) -> str:
    """Returns what is to be known before a set is downloaded."""
    lines = [
        f"{name}: {row.title}, {row.split}",
        f"  page     {row.page}",
        f"  licence  {row.licence}",
        *(f"  file     {file.url}" for file in row.files),
        *([f"  note     {row.quirks}"] if row.quirks else []),
    ]
    if not row.files:
        lines.append("  not downloaded here: follow the instructions of the page")
    return "\n".join(lines)


def fetch(file: Download, folder: Path) -> Path:
    """Downloads a file of a set, or verifies the one that is there.

    Args:
        file: The file.
        folder: Folder of the set, which is made.

    Raises:
        CheckpointError: The server does not have it, or has another one.
        OSError: It cannot be written.
    """
    name = urllib.parse.urlsplit(file.url).path.rpartition("/")[2]
    path, known = folder / name, read_sums(folder / SUMS)
    # A file that was verified before is not asked for again: some servers count.
    size = path.stat().st_size if name in known and path.is_file() else file.size
    download(file.url, path, size=size, sha256=known.get(name), md5=file.md5)
    with open(path, "rb") as opened:
        known[name] = hashlib.file_digest(opened, "sha256").hexdigest()
    text = "".join(
        f"{digest}  {of_file}\n" for of_file, digest in sorted(known.items())
    )
    write_bytes(folder / SUMS, text.encode())
    return path


def read_sums(path: Path) -> dict[str, str]:
    """Returns the SHA-256 of files by name, as `sha256sum` writes them.

    Args:
        path: The file of sums; without it there are none.
    """
    if not path.is_file():
        return {}
    lines = (line.split(maxsplit=1) for line in path.read_text("utf-8").splitlines())
    return {parts[1]: parts[0] for parts in lines if len(parts) == 2}


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Config, description=__doc__)))
