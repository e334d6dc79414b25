"""JSON files of the data engine, marked as samjax's own, and never written over others."""

from pathlib import Path
from typing import Any

from samjax.files import KEY, json_object, json_text, mark_of, write_output


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Writes a file; no partial file is ever left.

    Raises:
        WouldReplace: There is a file that samjax did not write.
        OSError: It cannot be written.
    """
    text = json_text({KEY: mark_of("engine"), **content}, indent=1)
    write_output(path, f"{text}\n".encode(), "engine")


def read_json(path: Path) -> dict[str, Any]:
    """Returns the content of such a file, without the mark.

    Raises:
        ValueError: It is not JSON, or no object.
        OSError: It cannot be read.
    """
    content = json_object(path.read_bytes())
    content.pop(KEY, None)
    return content
