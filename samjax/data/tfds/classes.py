"""Check of the classes that a TFDS folder names, before TFDS imports them.

TFDS constructs features by the class names in `features.json`, and imports the module
of each: a module beside the file would be executed. Only names of TFDS's own features
are accepted.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from samjax.data.formats.guards import read_bounded

# Bound on the bytes of the file; SA-1B's has 5 kB.
_LONGEST = 1 << 22

# With any module below, as classes have moved between versions of TFDS.
_OWN = re.compile(r"tensorflow_datasets\.core\.features(\.\w+)+")


def check_classes(folder: str | os.PathLike) -> None:
    """Checks that reading a dataset with TFDS executes TFDS's own code only.

    Args:
        folder: Folder of the dataset, with `features.json`; without that file TFDS
            raises an error itself.

    Raises:
        ValueError: The file is damaged, or names a class that is not TFDS's.
        OSError: The file cannot be read.
    """
    path = Path(folder) / "features.json"
    if not path.exists():
        return
    try:
        content = json.loads(read_bounded(path, _LONGEST))
        foreign = [name for name in _classes(content) if not _is_own(name)]
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    if foreign:
        raise ValueError(
            f"{path} names the class {ascii(foreign[0])[:80]}, which TFDS would import: "
            "expected features of TFDS itself (tensorflow_datasets.core.features...). "
            "Convert the dataset where its code is trusted"
        )


def _is_own(name: Any) -> bool:
    return isinstance(name, str) and _OWN.fullmatch(name) is not None


def _classes(content: Any) -> Iterator[Any]:
    """Yields all values that TFDS may interpret as a class name, at any depth."""
    if isinstance(content, dict):
        names = ["pythonClassName", "python_class_name"]
        # The key of older versions.
        names += ["type"] if "content" in content else []
        for key, value in content.items():
            if key in names and not isinstance(value, dict):
                yield value
            yield from _classes(value)
    elif isinstance(content, list):
        for value in content:
            yield from _classes(value)
