"""The classes that a folder of TFDS names, looked at before TFDS imports them.

TFDS makes features by the names in `features.json`, and imports the module that a name
is in: with a folder's own module beside it, that is the folder's code. Names of TFDS's
own features are all that is let through.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from samjax.data.formats.guards import read_bounded

# SA-1B's has 5 kB.
_LONGEST = 1 << 22

# Older versions of TFDS wrote where a class was then.
_OWN = re.compile(r"tensorflow_datasets\.core\.features(\.\w+)+")


def check_classes(folder: str | os.PathLike) -> None:
    """Checks that reading a dataset by TFDS runs no code but TFDS's own.

    Args:
        folder: Of the dataset, with `features.json`; a folder without one is left for
            TFDS to refuse.

    Raises:
        ValueError: The file is damaged, or names a class that is not TFDS's.
        OSError: It cannot be read.
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
    """All values that TFDS may take for the name of a class, wherever they stand."""
    if isinstance(content, dict):
        names = ["pythonClassName", "python_class_name"]
        # The form of older versions.
        names += ["type"] if "content" in content else []
        for key, value in content.items():
            if key in names and not isinstance(value, dict):
                yield value
            yield from _classes(value)
    elif isinstance(content, list):
        for value in content:
            yield from _classes(value)
