"""Writes exported files, and a JSON report beside them."""

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from samjax.files import check_replaceable, json_text, write_bytes


class NotTheModel(ValueError):
    """The exported model's outputs differ from the model's; nothing was written."""


@dataclass(frozen=True, kw_only=True)
class Destination:
    """Which files an export may replace.

    Attributes:
        overwrite: Whether to replace files that are no exports of samjax.
        inputs: Files that are read for the export; never replaced.
    """

    overwrite: bool = False
    inputs: tuple[str | os.PathLike, ...] = ()

    def check(self, files: Iterable[Path]) -> None:
        """Checks that files may be written.

        Raises:
            WouldReplace: A file that is no export of samjax is in the way.
        """
        for file in files:
            check_replaceable(
                file, "export", overwrite=self.overwrite, inputs=self.inputs
            )


FREE = Destination()
"""Nothing but exports of samjax is replaced."""


def files_of_export(out: Path, *, pair: bool = False) -> list[Path]:
    """Returns the files that an export to `out` writes, its report last."""
    files = [out]
    if pair:
        names = (f".{part}{out.suffix}" for part in ("prepare", "prompt"))
        files = [out.with_suffix(name) for name in names]
    elif out.suffix == ".stablehlo":
        files.append(out.with_suffix(".safetensors"))
    return [*files, out.with_suffix(".json")]


def write_files(
    contents: Mapping[Path, bytes],
    report: Path,
    about: Mapping[str, Any],
    made_with: Sequence[str],
    destination: Destination = FREE,
) -> None:
    """Writes files and a report on them, each whole or not at all.

    Args:
        contents: The files.
        report: Where to write the report, JSON.
        about: Its fields beside versions, sizes and hashes.
        made_with: Packages whose versions it names.
        destination: Which files may be replaced.

    Raises:
        WouldReplace: A file that is no export of samjax is in the way; nothing was
            written.
        OSError: A file cannot be written.
    """
    destination.check([*contents, report])
    fields = {
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
        write_bytes(path, content)
    write_bytes(report, (json_text(fields, indent=1) + "\n").encode())
