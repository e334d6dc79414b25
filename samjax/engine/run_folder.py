"""The folder of a run: checks that it belongs to the run, and which results are intact."""

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


class EarlierResult(NamedTuple):
    """The result of an earlier run for an image.

    Attributes:
        record: The record, if it is intact.
        note: A message for users, if it was damaged.
        problem: Reason why none can be written: another file has its name.
    """

    record: Record | None = None
    note: str = ""
    problem: str = ""


def record_path(folder: Path, item: Item) -> Path:
    """Returns the path of an image's record in the folder of a run."""
    return folder / f"{item.stem}.json"


def shard_path(folder: Path, index: int) -> Path:
    """Returns the path of a shard of a run."""
    return folder / f"sa_{index:06d}.tar"


def settings_path(folder: Path) -> Path:
    """Returns the path of a run's settings."""
    return folder / "run" / "settings.json"


# Settings that runs of earlier versions did not store; they may be resumed without.
_ADDED_LATER = ("model",)


def begin_run(
    folder: Path,
    results: Iterable[Path],
    settings: Mapping[str, Any],
    *,
    overwrite: bool = False,
) -> None:
    """Begins a run in a folder, or resumes the run that has the same settings.

    Args:
        folder: Folder of the run; created if missing.
        results: Paths of the run's records or shards. In a folder without a run, files
            of these names belong to the user.
        settings: Weights and options of the run, as JSON types.
        overwrite: Whether such files are removed.

    Raises:
        WouldReplace: The folder has files of these names that no run wrote.
        ValueError: The folder has results of other settings.
        OSError: It cannot be written.
    """
    check_new_run(folder, results, overwrite=overwrite)
    path = settings_path(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json_text({KEY: mark_of("settings"), **settings}, indent=1) + "\n"
    if not path.exists():
        if overwrite:
            # Now, since a resumed run takes such files for its own results.
            for result in results:
                result.unlink(missing_ok=True)
        try:
            with creating(path) as hidden:
                hidden.write_text(text)
        except FileExistsError:
            pass  # Another process of the same run created it.
        else:
            return
    try:
        stored = dict(json.loads(path.read_bytes()))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is damaged: remove it to go on") from error
    check_replaceable(path, "settings", overwrite=overwrite)
    if overwrite and not settings.keys() & stored.keys():
        write_bytes(path, text.encode())
        return
    check_same_settings(folder, settings, stored)


def check_same_settings(
    path: Path, settings: Mapping[str, Any], stored: Mapping[str, Any]
) -> None:
    """Checks that existing results have the settings of this run.

    Args:
        path: Path of the results.
        settings: Settings of this run, as JSON types.
        stored: Settings of the results.

    Raises:
        ValueError: Some settings differ; the message names them.
    """
    differ = [
        f"{name} is {value}, was {stored.get(name)}"
        for name, value in settings.items()
        if value != stored.get(name) and (name in stored or name not in _ADDED_LATER)
    ]
    if differ:
        raise ValueError(
            f"{path} has results of other settings ({'; '.join(differ)}): use the "
            "same, or name another place for these"
        )


def check_new_run(
    folder: Path, results: Iterable[Path], *, overwrite: bool = False
) -> None:
    """Checks that no file of a folder without a run has the name of a result.

    Raises:
        WouldReplace: A file has such a name.
    """
    if overwrite or settings_path(folder).exists():
        return
    for path in (*results, folder / "run" / "problems.json"):
        # Checked again: another process of the run may have written the file meanwhile.
        if os.path.lexists(path) and not settings_path(folder).exists():
            raise WouldReplace(
                f"{path} is there and is no result of a run in {folder}: write to "
                "another folder, or give --overwrite (overwrite=True) to replace it"
            )


def name_problem(item: Item, *, in_shard: bool) -> str:
    """Returns the reason why results cannot have an image's name; "" if they can."""
    try:
        check_file_name(item.name, "the image")
    except ValueError as error:
        return str(error)
    if in_shard and Path(item.name).suffix.lower() not in SUFFIXES:
        return (
            f"a shard takes images that end in {', '.join(sorted(SUFFIXES))}: rename it"
        )
    return ""


def find_record(path: Path, *, overwrite: bool = False) -> EarlierResult:
    """Reads the record of an image; a damaged one is renamed.

    Args:
        path: Path of the record.
        overwrite: Whether JSON that is no record is replaced.
    """
    try:
        if path.exists() and not path.is_file():
            return EarlierResult(problem=f"{path} is there and is no regular file")
        content = path.read_bytes()
    except FileNotFoundError:
        return EarlierResult()
    except OSError as error:
        return EarlierResult(problem=f"{path} cannot be read: {error.strerror}")
    try:
        return EarlierResult(record_from_json(content))
    except ValueError as error:
        if not content:
            return EarlierResult(note=f"{path} has 0 bytes: it is made again")
        if _is_json(content):
            if overwrite:
                return EarlierResult()
            return EarlierResult(problem=f"{path} is there and is no record ({error})")
    return EarlierResult(
        note=f"{path} is damaged: it is now {set_aside(path).name}, and made again"
    )


def find_shard(path: Path) -> tuple[bool, str]:
    """Checks a shard; a damaged one is renamed.

    Returns:
        Whether it exists and is intact, and a message for users.
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
    """Writes the reasons why images have no results; removes the file if all have."""
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
