"""Output files of the command: written completely or not at all, never over a user's."""

import io
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from samjax.files import KEY, Kind, json_text, mark_of, write_output


def make_folder(folder: Path) -> None:
    """Makes a folder for results, and checks that files can be written there.

    Raises:
        OSError: It cannot be made, is a file, or is not writable.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tempfile.TemporaryFile(dir=folder).close()


def write_image(
    path: Path, pixels: np.ndarray, kind: Kind, *, overwrite: bool = False
) -> None:
    """Writes an image or a mask to a PNG.

    Args:
        path: The file.
        pixels: uint8 (h, w, 3); or boolean (h, w), written as black and white.
        kind: Kind of output, for its mark.
        overwrite: Whether to replace a file that samjax did not write.

    Raises:
        WouldReplace: Such a file exists.
        OSError: The file cannot be written.
    """
    data = io.BytesIO()
    text = PngInfo()
    text.add_text("Software", mark_of(kind))
    Image.fromarray(pixels).save(data, format="PNG", pnginfo=text)
    # Not `Image.save(path)`: Pillow would hide the reason where the disk is full.
    write_output(path, data.getvalue(), kind, overwrite=overwrite)


def write_json(
    path: Path, content: Mapping[str, Any], kind: Kind, *, overwrite: bool = False
) -> None:
    """Writes a JSON object, one line per entry of its lists.

    Args:
        path: The file.
        content: The object.
        kind: Kind of output, for its mark.
        overwrite: Whether to replace a file that samjax did not write.

    Raises:
        WouldReplace: Such a file exists.
        OSError: The file cannot be written.
    """
    text = _lines({KEY: mark_of(kind), **content})
    write_output(path, text.encode(), kind, overwrite=overwrite)


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
