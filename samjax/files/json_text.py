"""JSON that is JSON: no number that is not finite leaves, and none comes in."""

import json
import math
from typing import Any, NoReturn


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
