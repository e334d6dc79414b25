"""Files that are whole or not there, JSON that is JSON, and samjax's cache folder."""

import contextlib
import json
import math
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Gives a hidden name beside `path` to write to, and renames it at the end.

    Whatever happens, `path` is what it was or what was meant to be, and nothing else is
    left; a process that is killed leaves at most the hidden file.

    Raises:
        OSError: the file cannot be written there.
    """
    path = Path(path)
    # In the same folder, since only a rename within a file system is atomic.
    hidden = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        yield hidden
        os.replace(hidden, path)
    finally:
        hidden.unlink(missing_ok=True)


def json_text(value: Any, **options: Any) -> str:
    """Returns a value as JSON; everything that samjax writes as JSON is made here.

    Python's writer has `NaN` and `Infinity`, which JSON has not: no other program would
    read the file.

    Args:
        value: dicts, lists, texts, numbers, booleans and None.
        **options: of `json.dumps`.

    Raises:
        ValueError: a number is not finite; it names the first.
    """
    try:
        return json.dumps(value, allow_nan=False, **options)
    except ValueError as error:
        if place := _not_finite(value):
            raise ValueError(
                f"{place}, and JSON has no such number: nothing was written. Weights of "
                "a run that diverged give such numbers"
            ) from error
        raise


def _not_finite(value: Any, place: str = "") -> str | None:
    """Says where the first number is that is not finite; None if there is none."""
    if isinstance(value, float):
        return None if math.isfinite(value) else f"{place or 'the value'} is {value}"
    items: Any = ()
    if isinstance(value, dict):
        items = (
            (f"{place}.{key}" if place else str(key), v) for key, v in value.items()
        )
    elif isinstance(value, list | tuple):
        items = ((f"{place}[{index}]", v) for index, v in enumerate(value))
    found = (_not_finite(inner, name) for name, inner in items)
    return next((words for words in found if words), None)


def json_object(text: str | bytes) -> dict[str, Any]:
    """Reads a JSON object that may come from anybody.

    Raises:
        ValueError: it is no JSON, no object, has numbers that are not finite, or is
            nested without end.
    """
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    if not isinstance(value, dict):
        raise ValueError("it is no JSON object")  # noqa: TRY004
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def cache_folder() -> Path:
    """The folder that samjax keeps downloads and other remakeable things in.

    `SAMJAX_CACHE` if set; else `samjax` in `XDG_CACHE_HOME`, if that is an absolute
    path as its specification demands; else `~/.cache/samjax`. It may not exist.
    """
    if own := os.environ.get("SAMJAX_CACHE"):
        return Path(own).expanduser().absolute()
    shared = Path(os.environ.get("XDG_CACHE_HOME", ""))
    base = shared if shared.is_absolute() else Path.home() / ".cache"
    return base / "samjax"
