"""Error of a wrong argument, which code written for the reference catches too."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, DTypeLike


class WrongArgument(ValueError, AssertionError):
    """An argument that cannot be used.

    An `AssertionError` too, since the reference asserts; a plain `assert` would vanish
    with `python -O`.
    """


def checked(
    name: str, value: ArrayLike, shape: Sequence[int | str], dtype: DTypeLike | None
) -> np.ndarray:
    """Returns an argument as an array of the expected shape.

    Args:
        name: the argument's name, for the error.
        value: the argument.
        shape: length of every axis, or a letter for any length.
        dtype: dtype of the array; None keeps its own.

    Raises:
        WrongArgument: the argument has another shape, or is no array of numbers.
    """
    try:
        array = np.asarray(value, dtype)
    except (TypeError, ValueError) as error:
        raise WrongArgument(
            f"got {name} that are no array, expected numbers of one shape: {error}"
        ) from error
    fits = [isinstance(side, str) or side == n for side, n in zip(shape, array.shape)]
    if array.ndim != len(shape) or not all(fits):
        expected = ", ".join(map(str, shape))
        raise WrongArgument(f"got {name} {array.shape}, expected ({expected})")
    return array
