"""Deletion of an image of a project: its file, masks, history, tasks and cached files."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from samjax.engine.annotations.store import AnnotationStore
from samjax.engine.file_versions import file_version


def erase_image(
    store: AnnotationStore, images: Path, name: str, cache: Path
) -> dict[str, int]:
    """Deletes an image, all that was made of it, and what was computed from it.

    The store comes first: if the process is killed, the command can be given again.

    Args:
        store: The store.
        images: Folder of the images.
        name: Path of the image in the folder, with `/`.
        cache: Folder of the server's cache.

    Returns:
        The numbers of deleted `masks`, `tasks` and `cached` files.

    Raises:
        ValueError: There is no such image, neither in the folder nor in the store.
        DatabaseReplaced: The database is not the one that was opened.
        OSError: A file cannot be removed.
    """
    path = images / name
    # The parent's real path: the image itself may be a link, and the link is removed.
    inside = path.parent.resolve().is_relative_to(images.resolve())
    if not inside or ".." in Path(name).parts or Path(name).is_absolute():
        raise ValueError(f"got the name {name!r}, expected a path in {images}")
    has_file = path.is_symlink() or path.is_file()
    versions = _cache_keys(images, name) if has_file else []
    with store.database.erasing() as write:
        removed = _erase_rows(write, name)
        if not has_file and not any(removed.values()):
            raise ValueError(f"got the name {name!r}, expected an image of {images}")
    cached = 0
    for version in versions:
        for file in cache.rglob(f"{version}*"):
            file.unlink(missing_ok=True)
            cached += 1
    path.unlink(missing_ok=True)
    return removed | {"cached": cached}


def _erase_rows(write: sqlite3.Connection, name: str) -> dict[str, int]:
    count = write.execute(
        "SELECT COUNT(*) FROM annotations WHERE image = ?", (name,)
    ).fetchone()[0]
    write.execute(
        "DELETE FROM versions WHERE annotation IN ("
        "SELECT id FROM annotations WHERE image = ?)",
        (name,),
    )
    for table in ("annotations", "reviews", "mask_reviews", "regions", "scores"):
        write.execute(f"DELETE FROM {table} WHERE image = ?", (name,))
    tasks = write.execute("DELETE FROM tasks WHERE image = ?", (name,)).rowcount
    write.execute("UPDATE counter SET revision = revision + 1")
    return {"masks": count, "tasks": tasks}


def _cache_keys(images: Path, name: str) -> list[str]:
    """Returns the beginnings of the names of cached files of an image."""
    path = images.resolve() / name
    status = path.stat()
    return [file_version(path, status.st_size, status.st_mtime_ns)]
