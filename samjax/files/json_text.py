"""Strict JSON: numbers that are not finite are neither written nor read."""

import json
import math
from typing import Any, NoReturn


def json_text(value: Any, **options: Any) -> str:
    """Returns a value as JSON; the only writer of JSON in samjax.

    Python's writer emits `NaN` and `Infinity`, which are no JSON: other programs could
    not read the file.

    Args:
        value: dicts, lists, strings, numbers, booleans and None.
        **options: of `json.dumps`.

    Raises:
        ValueError: a number is not finite; it names the first.
    """
    try:
        return json.dumps(value, allow_nan=False, **options)
    except ValueError as error:
        if problem := _not_finite(value):
            raise ValueError(
                f"{problem}, and JSON has no such number: nothing was written. Weights of "
                "a run that diverged give such numbers"
            ) from error
        raise


def _not_finite(value: Any, path: str = "") -> str | None:
    """Returns the path and value of the first number that is not finite, or None."""
    if isinstance(value, float):
        return None if math.isfinite(value) else f"{path or 'the value'} is {value}"
    items: Any = ()
    if isinstance(value, dict):
        items = ((f"{path}.{key}" if path else str(key), v) for key, v in value.items())
    elif isinstance(value, list | tuple):
        items = ((f"{path}[{index}]", v) for index, v in enumerate(value))
    problems = (_not_finite(inner, name) for name, inner in items)
    return next((problem for problem in problems if problem), None)


def json_object(text: str | bytes) -> dict[str, Any]:
    """Parses a JSON object from an untrusted source.

    Raises:
        ValueError: it is no JSON, no object, has numbers that are not finite, or is
            nested too deeply.
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
