"""Writes what is exported, and the report on it beside it."""

import hashlib
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from samjax.files import json_text, replacing


class NotTheModel(ValueError):
    """What is exported does not answer as the model does; nothing was written."""


def write_files(
    contents: Mapping[Path, bytes],
    report: Path,
    about: Mapping[str, Any],
    made_with: Sequence[str],
) -> None:
    """Writes files and a report on them, each whole or not at all.

    Args:
        contents: The files.
        report: Where to write the report, JSON.
        about: What it says beside versions, sizes and hashes.
        made_with: Packages whose versions it names.
    """
    said = {
        **about,
        "files": {
            path.name: {
                "bytes": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
            }
            for path, content in contents.items()
        },
        "versions": {name: version(name) for name in ("samjax", *made_with)},
    }
    for path, content in contents.items():
        with replacing(path) as hidden:
            hidden.write_bytes(content)
    with replacing(report) as hidden:
        hidden.write_text(json_text(said, indent=1) + "\n")
