"""SA-1B's files: a JSON file per image, and tar shards of images and their JSON.

A shard is an uncompressed tar with the members `./sa_1.jpg` and `./sa_1.json` of every
image. Headers have no time and no owner, so that equal records give equal shards.
"""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

from samjax.data.bounds import BYTES, max_bytes
from samjax.data.folders import SUFFIXES
from samjax.data.formats.guards import (
    Problems,
    check_file_name,
    raise_problem,
    read_bounded,
    record_stem,
)
from samjax.data.sa1b.headers import (
    BLOCK,
    FILES,
    FOLDER,
    DamagedTar,
    open_tar,
    read_members,
)
from samjax.data.schema import Record, record_from_json, record_to_json
from samjax.files import replacing

# Bounds on the bytes of a member, so that a damaged length cannot fill the memory; far
# above SA-1B's (1 MB of JSON, 10 MB of image).
_LONGEST_JSON = 1 << 26
_LONGEST_IMAGE = 1 << 28


def write_record(folder: str | os.PathLike, record: Record) -> Path:
    """Writes a record to `folder`, named as its image with the suffix `.json`.

    Returns:
        The file's path.

    Raises:
        ValueError: The image's name is not plain, or a number is not finite.
        OSError: The file cannot be written.
    """
    path = Path(folder) / f"{record_stem(record)}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as hidden:
        hidden.write_bytes(record_to_json(record).encode())
    return path


def read_folder(
    folder: str | os.PathLike, *, problems: Problems = raise_problem
) -> Iterator[tuple[Path | None, Record]]:
    """Reads the records of a folder, sorted by file name.

    Args:
        folder: A folder with one JSON file per image. Hidden files, folders and special
            files in it are skipped.
        problems: Called with the error of every record that is left out; the default
            raises it.

    Yields:
        The path of the record's image, None if it is not in the folder, and the record.

    Raises:
        ValueError: A file is not a record, or its image's name leads out of the folder.
        OSError: The folder or a file in it cannot be read.
    """
    folder = Path(folder)
    for name in sorted(os.listdir(folder)):
        if name.startswith(".") or not name.endswith(".json"):
            continue
        path = folder / name
        if not path.is_file():
            continue
        try:
            record = _parsed(read_bounded(path, _LONGEST_JSON), str(path))
        except ValueError as error:
            problems(error)
            continue
        image = folder / record["image"]["file_name"]
        yield (image if image.is_file() else None), record


def write_shard(
    path: str | os.PathLike, items: Iterable[tuple[str, bytes, Record]]
) -> None:
    """Writes a shard, image by image in the given order; the tar is replaced atomically.

    Args:
        path: Path of the tar.
        items: Name of the image (the record's `file_name`), the bytes of its file, and
            its record.

    Raises:
        ValueError: A name is not plain, is not the record's, does not have the suffix
            of an image or occurs twice; or a file is larger than readers accept.
        OSError: The tar cannot be written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    written: set[str] = set()
    # GNU's format has plain headers for names in UTF-8, as SA-1B's own shards.
    with (
        replacing(path) as hidden,
        tarfile.open(
            hidden, "w", format=tarfile.GNU_FORMAT, encoding="utf-8", errors="strict"
        ) as tar,
    ):
        for name, image, record in items:
            stem = _checked_stem(name, record)
            if stem in written:
                raise ValueError(
                    f"got a second image named {stem} for {path}, expected every name "
                    "once: rename one of the two"
                )
            written.add(stem)
            text = record_to_json(record).encode()
            _add(tar, name, image, _LONGEST_IMAGE)
            _add(tar, f"{stem}.json", text, _LONGEST_JSON)


def read_shard(
    path: str | os.PathLike, *, problems: Problems = raise_problem
) -> Iterator[tuple[str, bytes, Record]]:
    """Reads a shard, image by image in the order of the tar.

    Image and JSON are paired by name, at any distance in the tar. A leading `./` is
    ignored; folders, hidden members and other files are skipped. Headers are read
    first, so that memory holds one image at a time.

    Args:
        path: Path of an uncompressed tar.
        problems: Called with the error of everything that is left out: members that are
            damaged, unpaired, too large or have invalid names, and the lost end of a
            truncated tar. The default raises it.

    Yields:
        The image's name, the bytes of its file, and its record.

    Raises:
        ValueError: As for `problems`.
        OSError: The file cannot be read.
    """
    with open_tar(path) as file:
        pairs = _pairs(file, str(path), problems)
        for stem, (image, json) in pairs.items():
            if image is None or json is None:
                missing, present = ("image", json) if json else ("JSON", image)
                name = present.name if present else stem
                problems(
                    ValueError(
                        f"{path}: member {name!a} has no {missing} beside it, "
                        "expected one of the same name: the shard is incomplete"
                    )
                )
                continue
            try:
                context = f"{path}: member {json.name!a}"
                record = _parsed(_content(file, json), context)
                if PurePosixPath(record["image"]["file_name"]).stem != stem:
                    raise ValueError(
                        f"{context} is the record of "
                        f"{record['image']['file_name']!a}, expected that of the "
                        "image of its own name: members are mixed up"
                    )
            except ValueError as error:
                problems(error)
                continue
            yield image.name.removeprefix("./"), _content(file, image), record


def _parsed(text: bytes, context: str) -> Record:
    try:
        record = record_from_json(text)
    except ValueError as error:
        raise ValueError(f"{context}: {error}") from error
    check_file_name(record["image"]["file_name"], context)
    return record


def _checked_stem(name: str, record: Record) -> str:
    stem = record_stem(record)
    if name != record["image"]["file_name"]:
        raise ValueError(
            f"got the image {name!a} with the record of "
            f"{record['image']['file_name']!a}, expected the same name in both"
        )
    if PurePosixPath(name).suffix.lower() not in SUFFIXES:
        raise ValueError(
            f"got an image named {name!a}, expected a suffix among "
            f"{sorted(SUFFIXES)}, by which readers recognize images"
        )
    return stem


def _add(tar: tarfile.TarFile, name: str, content: bytes, limit: int) -> None:
    limit = max_bytes(limit)
    if len(content) > limit:
        raise ValueError(
            f"got {len(content)} bytes for {name!a}, expected at most {limit}: set "
            f"{BYTES}={len(content)} to allow it"
        )
    member = tarfile.TarInfo(f"./{name}")
    member.size = len(content)
    member.mode = 0o644
    tar.addfile(member, io.BytesIO(content))


def _pairs(
    file: BinaryIO, path: str, problems: Problems
) -> dict[str, list[_Entry | None]]:
    """Pairs the image and the JSON of every name, in the order of first occurrence."""
    members, damage = _headers(file)
    pairs: dict[str, list[_Entry | None]] = {}
    for member in members:
        base = PurePosixPath(member.name)
        suffix = base.suffix.lower()
        is_other = suffix not in SUFFIXES | {".json"}
        # Some tars write folders without a final slash.
        is_folder = member.name.endswith("/") or member.kind == FOLDER
        if is_folder or is_other or base.name.startswith("."):
            continue
        context = f"{path}: member {member.name!a:.300}"
        try:
            name = check_file_name(member.name.removeprefix("./"), context)
            _check_member(member, context, suffix)
        except ValueError as error:
            problems(error)
            continue
        pair = pairs.setdefault(PurePosixPath(name).stem, [None, None])
        kind = int(suffix == ".json")
        if pair[kind] is not None:
            problems(
                ValueError(f"{context} comes a second time; the first one is used")
            )
            continue
        pair[kind] = member
    if damage:
        problems(ValueError(f"{path}: {damage}; the members before that are complete"))
    return pairs


class _Entry(NamedTuple):
    """A member of a tar, its name as text."""

    name: str
    offset: int
    size: int
    kind: bytes


def _headers(file: BinaryIO) -> tuple[list[_Entry], str]:
    """Reads all headers; returns the members, and a description of damage or ""."""
    members: list[_Entry] = []
    length = os.fstat(file.fileno()).st_size
    try:
        for member in read_members(file.fileno(), length, others=True):
            name = os.fsdecode(member.name)
            members.append(_Entry(name, member.offset, member.size, member.kind))
    except DamagedTar as error:
        if not members and (error.position == 0 or length < BLOCK):
            return [], f"it is not an uncompressed tar ({error})"
        if error.name is not None:
            return members, f"it is cut off in member {os.fsdecode(error.name)!a:.300}"
        after = f"after {members[-1].name!a:.300}" if members else "at its beginning"
        return members, f"it is cut off or damaged {after} ({error})"
    return members, ""


def _check_member(member: _Entry, context: str, suffix: str) -> None:
    if member.kind not in FILES:
        raise ValueError(f"{context} is a link or special, expected a regular file")
    limit = max_bytes(_LONGEST_JSON if suffix == ".json" else _LONGEST_IMAGE)
    if member.size > limit:
        raise ValueError(
            f"{context} has {member.size} bytes, expected at most {limit}: its header is "
            f"damaged, or it is something else; if it is right, set {BYTES} to its size"
        )


def _content(file: BinaryIO, member: _Entry) -> bytes:
    file.seek(member.offset)
    return file.read(member.size)
