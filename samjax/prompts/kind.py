"""Description of a kind of prompt, which the command and the API are made from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float


class MaskImage:
    """Type of a field that is a mask of the original image's size.

    In the API it is COCO run lengths; annotations record only whether there was one.
    """


class MaskFile(NamedTuple):
    """Value of an option that names a file with a mask.

    Attributes:
        path: The file.
        pixels: Its mask, of the original image's size.
    """

    path: Path
    pixels: Bool[np.ndarray, "h w"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Option:
    """An option of `samjax segment` that gives prompts of one kind.

    Attributes:
        name: Name without dashes.
        metavar: Form of a value, for the help.
        help: Help text.
        is_file: Whether values are files with masks; `read` is not used then.
        is_joined: Whether several values may form one prompt set.
        read: Makes a value of its text. Raises ValueError with the expected form.
        fields: Makes fields of `Prompt` of the values of one prompt set.
        record: Makes fields of the JSON results of the values of one prompt set, which
            may be none.
        words: Describes a value in one line of output.
    """

    name: str
    metavar: str
    help: str
    fields: Callable[[Sequence[Any]], Mapping[str, Any]]
    record: Callable[[Sequence[Any]], Mapping[str, Any]]
    words: Callable[[Any], str]
    read: Callable[[str], Any] = str
    is_file: bool = False
    is_joined: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class PromptKind:
    """A kind of prompt.

    Attributes:
        fields: Names of its fields in `Prompt`, with their types in JSON: `float`,
            `str`, `list[...]`, `tuple[...]`, `Literal[...]` or `MaskImage`.
        check: Called with a list of problems and the values of the fields as given.
            Returns the values that `Prompt` keeps; appends one line per problem.
        count: Number of prompts in the values that `Prompt` keeps.
        option: Its option of `samjax segment`, if there is one.
    """

    fields: Mapping[str, Any]
    check: Callable[..., tuple[Any, ...]]
    count: Callable[..., int]
    option: Option | None = None


def checked_numbers(
    name: str, value: Any, problems: list[str]
) -> Float[np.ndarray, ...] | None:
    """Returns a float64 copy of a field's value, of its shape, or None and notes a problem."""
    try:
        array = np.array(value, np.float64)
    except (TypeError, ValueError):
        problems.append(f"got {name} that are not a regular list of numbers: {value!r}")
        return None
    if not np.isfinite(array).all():
        problems.append(f"got {name} with NaN or infinite values: {array.tolist()}")
        return None
    return array


def read_numbers(text: str) -> list[float] | None:
    """Returns the numbers of an option's value, or None where one is no finite number."""
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        return None
    return numbers if np.isfinite(numbers).all() else None
