"""A folder of a static host that a demo is written to again: its own files, and others.

Beside the demo such a folder may have anything: `.git`, a `CNAME`, further pages. The
demo's config lists its files with their digests; only a file that is still as a demo
left it is replaced or, where the new demo lacks it, removed.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from samjax.files import WouldReplace, read_json, sha256_of

CONFIG = "config.json"

# Demos of before listed no files: their page and models lay in these, their photos are
# named in the config, and their headers had one text.
_OLD = ("index.html", "isolation_worker.js", CONFIG, "page/", "model/")
_OLD_HEADERS = "d7a400f0a44a20eeae924ef197c1d1e7bb261876c914db4cb5ac0fdf3acad4ff"


def files_below(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file in a folder, by its path in it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256_of(path) for path in files}


def is_demo(folder: Path) -> bool:
    """Whether a folder has a demo in it, and maybe more."""
    return read_json(folder / CONFIG).get("mode") == "demo"


def put_in_place(made: Path, out: Path, *, overwrite: bool = False) -> None:
    """Moves a demo to its folder; what is not a demo's there stays.

    Args:
        made: A folder on the same file system, the demo whole in it. It is used up.
        out: The folder, which may have an older demo and other files.
        overwrite: Whether files that no demo left there are replaced.

    Raises:
        WouldReplace: A file is where one of the demo goes, and is not as a demo left it;
            nothing was changed.
        OSError: Something cannot be written.
    """
    if not out.exists() or not any(out.iterdir()):
        os.replace(made, out)
        return
    is_own = _owner(out)
    # The page finds its models by the config: it comes last.
    digests = files_below(made)
    files = sorted(digests, key=lambda name: (name == CONFIG, name))
    for name in files:
        _check_parents(out, name)
        target = out / name
        may_go = overwrite or is_own(name) or sha256_of(target) == digests[name]
        if os.path.lexists(target) and not (target.is_file() and may_go):
            raise WouldReplace(
                f"{target} is there and is not as a demo left it: move it away, give "
                "--overwrite (overwrite=True) to replace it, or name another folder"
            )
    left = [name for name in _listed(out) if name not in files and is_own(name)]
    for name in files:
        target = out / name
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(made / name, target)
    for name in left:
        (out / name).unlink(missing_ok=True)


def _owner(out: Path) -> Callable[[str], bool]:
    """Says of paths in a folder whether a demo left them there as they are."""
    config = read_json(out / CONFIG)
    if config.get("mode") != "demo":
        return lambda name: False
    if listed := _listed(out):
        # The config cannot have its own digest.
        return lambda name: (
            name == CONFIG or listed.get(name) == sha256_of(out / name) != ""
        )
    samples = config.get("samples")
    photos = {
        unquote(str(one.get("url")))
        for one in (samples if isinstance(samples, list) else [])
        if isinstance(one, dict)
    }
    return lambda name: (
        name.startswith(_OLD[3:])
        or name in photos
        or name in _OLD[:3]
        or (name == "_headers" and sha256_of(out / name) == _OLD_HEADERS)
    )


def _listed(out: Path) -> dict[str, Any]:
    """The files that the demo in a folder lists, those that lead out of it left out."""
    files = read_json(out / CONFIG).get("files")
    if not isinstance(files, dict):
        return {}
    return {
        name: digest
        for name, digest in files.items()
        if ".." not in Path(name).parts and not Path(name).is_absolute()
    }


def _check_parents(out: Path, name: str) -> None:
    for parent in Path(name).parents:
        place = out / parent
        if os.path.lexists(place) and (not place.is_dir() or place.is_symlink()):
            if place == out:
                continue
            raise WouldReplace(f"{place} is there and is no folder: move it away")
