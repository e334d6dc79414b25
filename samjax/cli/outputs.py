"""Files that the command leaves: whole or not at all."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from samjax.files import json_text, replacing


def make_folder(folder: Path) -> None:
    """Makes a folder for results, and shows now that files can be written there.

    Raises:
        OSError: It cannot be made, is a file, or takes no files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tempfile.TemporaryFile(dir=folder).close()


def write_image(path: Path, pixels: np.ndarray) -> None:
    """Writes uint8 (h, w, 3), or boolean (h, w) as black and white, to a PNG."""
    with replacing(path) as hidden:
        Image.fromarray(pixels).save(hidden, format="PNG")


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Writes a JSON object, one line per entry of its lists."""
    with replacing(path) as hidden:
        hidden.write_text(_lines(content))


def _lines(content: Mapping[str, Any]) -> str:
    parts = []
    for key, value in content.items():
        if isinstance(value, list):
            entries = ",\n".join(f"  {json_text(entry)}" for entry in value)
            text = f"[\n{entries}\n ]" if value else "[]"
        else:
            text = json_text(value)
        parts.append(f" {json_text(key)}: {text}")
    return "{\n" + ",\n".join(parts) + "\n}\n"
