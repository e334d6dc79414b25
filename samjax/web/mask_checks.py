"""Masks in requests: checked against the image's size before anything uses them."""

import numpy as np

from samjax.engine.annotations.encoded_mask import (
    EncodedMask,
    bounded_counts,
    encoded_mask,
)
from samjax.web.refusals import invalid
from samjax.web.schemas import RunLengths


def check_mask(given: RunLengths, size: tuple[int, int]) -> EncodedMask:
    """Checks the `segmentation` of a request for an image of `size`, (h, w).

    Raises:
        Refusal: It has another size, or its run lengths are damaged.
    """
    _check_size(given, size, "segmentation")
    try:
        return encoded_mask(given.counts, size)
    except ValueError as error:
        raise invalid(f"segmentation: {error}") from error


def counts_of(given: RunLengths, size: tuple[int, int], field: str) -> np.ndarray:
    """Returns the run lengths of a request's mask for an image of `size`, (h, w).

    Args:
        given: The mask.
        size: (h, w) of the image.
        field: Name of the mask's field, for the error.

    Raises:
        Refusal: It has another size, or its run lengths are damaged.
    """
    _check_size(given, size, field)
    try:
        return bounded_counts(given.counts, size)
    except ValueError as error:
        raise invalid(f"{field}: {error}") from error


def _check_size(given: RunLengths, size: tuple[int, int], field: str) -> None:
    if tuple(given.size) != size:
        raise invalid(
            f"{field}: got a mask of {list(given.size)}, expected the image's "
            f"{list(size)}: size is (height, width)"
        )
