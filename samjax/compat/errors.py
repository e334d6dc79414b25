"""The error of a wrong argument, which code written for the reference catches too."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, DTypeLike


class WrongArgument(ValueError, AssertionError):
    """An argument that cannot be used, and what to do.

    The reference asserts; an `AssertionError` alone would vanish with `python -O`.
    """


def checked(
    name: str, value: ArrayLike, shape: Sequence[int | str], dtype: DTypeLike | None
) -> np.ndarray:
    """Returns an argument as an array of a shape.

    Args:
        name: of the argument.
        value: what was given.
        shape: of every axis its length, or a letter that stands for any.
        dtype: of the array; None for its own.

    Raises:
        WrongArgument: it is of another shape, or no numbers.
    """
    try:
        array = np.asarray(value, dtype)
    except (TypeError, ValueError) as error:
        raise WrongArgument(
            f"got {name} that are no array of numbers: {error}"
        ) from error
    wanted = [isinstance(side, str) or side == n for side, n in zip(shape, array.shape)]
    if array.ndim != len(shape) or not all(wanted):
        expected = ", ".join(map(str, shape))
        raise WrongArgument(f"got {name} {array.shape}, expected ({expected})")
    return array
