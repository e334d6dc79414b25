"""Update of a static demo in a folder that may have other files too.

Such a folder may also have `.git`, a `CNAME`, further pages. The demo's config lists its
files with their digests; only a file that is unchanged since a demo wrote it is replaced
or, where the new demo lacks it, removed.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from samjax.files import WouldReplace, read_json, sha256_of

CONFIG = "config.json"

# Demos of earlier versions listed no files: their page and models have these paths, the
# config names their photos, and their `_headers` has this digest.
_OLD = ("index.html", "isolation_worker.js", CONFIG, "page/", "model/")
_OLD_HEADERS = "d7a400f0a44a20eeae924ef197c1d1e7bb261876c914db4cb5ac0fdf3acad4ff"


def files_below(folder: Path) -> dict[str, str]:
    """Returns the SHA-256 of every file in a folder, by its path in the folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256_of(path) for path in files}


def is_demo(folder: Path) -> bool:
    """Whether a folder has a demo in it, perhaps beside other files."""
    return read_json(folder / CONFIG).get("mode") == "demo"


def put_in_place(made: Path, out: Path, *, overwrite: bool = False) -> None:
    """Moves a demo to its folder; files that no demo wrote stay.

    Args:
        made: A folder on the same file system with the complete demo; it is emptied.
        out: The folder, which may have an older demo and other files.
        overwrite: Whether files that no demo wrote are replaced.

    Raises:
        WouldReplace: One of the demo's paths has a file that no demo wrote, or that was
            changed since; nothing was changed.
        OSError: A file cannot be written.
    """
    if not out.exists() or not any(out.iterdir()):
        os.replace(made, out)
        return
    is_own = _owner(out)
    # The config last: the page finds its models by it.
    digests = files_below(made)
    files = sorted(digests, key=lambda name: (name == CONFIG, name))
    for name in files:
        _check_parents(out, name)
        target = out / name
        may_go = overwrite or is_own(name) or sha256_of(target) == digests[name]
        if os.path.lexists(target) and not (target.is_file() and may_go):
            raise WouldReplace(
                f"{target} exists and is not as a demo wrote it: move it away, give "
                "--overwrite (overwrite=True) to replace it, or name another folder"
            )
    obsolete = [name for name in _listed(out) if name not in files and is_own(name)]
    for name in files:
        target = out / name
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(made / name, target)
    for name in obsolete:
        (out / name).unlink(missing_ok=True)


def _owner(out: Path) -> Callable[[str], bool]:
    """Returns a test of whether a demo wrote a path in a folder, and it is unchanged."""
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
        unquote(str(sample.get("url")))
        for sample in (samples if isinstance(samples, list) else [])
        if isinstance(sample, dict)
    }
    return lambda name: (
        name.startswith(_OLD[3:])
        or name in photos
        or name in _OLD[:3]
        or (name == "_headers" and sha256_of(out / name) == _OLD_HEADERS)
    )


def _listed(out: Path) -> dict[str, Any]:
    """Returns the files that a folder's demo lists, without paths outside the folder."""
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
        path = out / parent
        if os.path.lexists(path) and (not path.is_dir() or path.is_symlink()):
            if path == out:
                continue
            raise WouldReplace(f"{path} exists and is no folder: move it away")
