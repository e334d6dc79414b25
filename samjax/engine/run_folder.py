"""The folder of a run of everything mode: whose it is, and which results are whole."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from samjax.data.formats.guards import check_file_name
from samjax.data.images import SUFFIXES, Item
from samjax.data.sa1b.headers import DamagedTar, read_members
from samjax.data.schema import Record, record_from_json
from samjax.files import (
    KEY,
    WouldReplace,
    check_replaceable,
    creating,
    json_text,
    mark_of,
    replacing,
    set_aside,
    write_bytes,
)


class Found(NamedTuple):
    """What is there of an image, or of a shard.

    Attributes:
        record: The record, if it is whole.
        note: What is said of it: that it was damaged.
        problem: Why it cannot be made: somebody else's file has its name.
    """

    record: Record | None = None
    note: str = ""
    problem: str = ""


def record_path(folder: Path, item: Item) -> Path:
    """Where the record of an image is in the folder of a run."""
    return folder / f"{item.stem}.json"


def shard_path(folder: Path, number: int) -> Path:
    """Where a shard of a run is."""
    return folder / f"sa_{number:06d}.tar"


def settings_path(folder: Path) -> Path:
    """Where a run says what it is of."""
    return folder / "run" / "settings.json"


# What runs of earlier versions did not write down, and may go on without.
_LATER = ("model",)


def begin_run(
    folder: Path,
    results: Iterable[Path],
    settings: Mapping[str, Any],
    *,
    overwrite: bool = False,
) -> None:
    """Begins a run in a folder, or finds the same run there.

    Args:
        folder: Of the run; made if need be.
        results: Where records or shards go: in a folder that has no run yet, they are
            somebody else's.
        settings: What the run is of, as JSON types.
        overwrite: Whether such files are removed.

    Raises:
        WouldReplace: The folder has files of these names that are not a run's.
        ValueError: The folder has results of other settings.
        OSError: It cannot be written.
    """
    check_new_run(folder, results, overwrite=overwrite)
    path = settings_path(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json_text({KEY: mark_of("settings"), **settings}, indent=1) + "\n"
    if not path.exists():
        if overwrite:
            # Now, since a run that goes on takes what is there for its own.
            for result in results:
                result.unlink(missing_ok=True)
        try:
            with creating(path) as hidden:
                hidden.write_text(text)
        except FileExistsError:
            pass  # Another process of the run came first.
        else:
            return
    try:
        found = dict(json.loads(path.read_bytes()))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is damaged: remove it to go on") from error
    check_replaceable(path, "settings", overwrite=overwrite)
    if overwrite and not settings.keys() & found.keys():
        write_bytes(path, text.encode())
        return
    check_same_settings(folder, settings, found)


def check_same_settings(
    place: Path, settings: Mapping[str, Any], found: Mapping[str, Any]
) -> None:
    """Checks that results are of the settings that more are to be made with.

    Args:
        place: Where the results are.
        settings: Those of this run, as JSON has them.
        found: Those of the results.

    Raises:
        ValueError: Some differ; they are named.
    """
    differ = [
        f"{name} is {value}, was {found.get(name)}"
        for name, value in settings.items()
        if value != found.get(name) and (name in found or name not in _LATER)
    ]
    if differ:
        raise ValueError(
            f"{place} has results of other settings ({'; '.join(differ)}): use the "
            "same, or name another place for these"
        )


def check_new_run(
    folder: Path, results: Iterable[Path], *, overwrite: bool = False
) -> None:
    """Checks that results replace nothing in a folder that has no run yet.

    Raises:
        WouldReplace: A file is there that would be taken for a result.
    """
    if overwrite or settings_path(folder).exists():
        return
    for path in (*results, folder / "run" / "problems.json"):
        # Another process may have begun the run, and made it, meanwhile.
        if os.path.lexists(path) and not settings_path(folder).exists():
            raise WouldReplace(
                f"{path} is there and is no result of a run in {folder}: write to "
                "another folder, or give --overwrite (overwrite=True) to replace it"
            )


def name_problem(item: Item, *, in_shard: bool) -> str:
    """Says why an image's results cannot have its name; nothing where they can."""
    try:
        check_file_name(item.name, "the image")
    except ValueError as error:
        return str(error)
    if in_shard and Path(item.name).suffix.lower() not in SUFFIXES:
        return (
            f"a shard takes images that end in {', '.join(sorted(SUFFIXES))}: rename it"
        )
    return ""


def find_record(path: Path, *, overwrite: bool = False) -> Found:
    """Looks for the record of an image; one that is damaged is moved out of the way.

    Args:
        path: Of the record.
        overwrite: Whether a file that is no record at all counts as none.
    """
    try:
        if path.exists() and not path.is_file():
            return Found(problem=f"{path} is there and is no regular file")
        content = path.read_bytes()
    except FileNotFoundError:
        return Found()
    except OSError as error:
        return Found(problem=f"{path} cannot be read: {error.strerror}")
    try:
        return Found(record_from_json(content))
    except ValueError as error:
        if not content:
            return Found(note=f"{path} has 0 bytes: it is made again")
        if _is_json(content):
            if overwrite:
                return Found()
            return Found(problem=f"{path} is there and is no record ({error})")
    return Found(
        note=f"{path} is damaged: it is now {set_aside(path).name}, and made again"
    )


def find_shard(path: Path) -> tuple[bool, str]:
    """Looks for a shard; one that is damaged is moved out of the way.

    Returns:
        Whether it is there and whole, and what is said of it.
    """
    try:
        file = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False, ""
    try:
        for _ in read_members(file, os.fstat(file).st_size):
            pass
    except DamagedTar as error:
        aside = set_aside(path).name
        return False, f"{path}: {error}: it is now {aside}, and made again"
    finally:
        os.close(file)
    return True, ""


def write_problems(path: Path, problems: Mapping[str, str]) -> None:
    """Writes why images have no results, or removes that where all have."""
    if problems:
        with replacing(path) as hidden:
            hidden.write_text(json_text(problems, indent=1) + "\n")
    else:
        path.unlink(missing_ok=True)


def _is_json(content: bytes) -> bool:
    try:
        json.loads(content)
    except (ValueError, RecursionError):
        return False
    return True
