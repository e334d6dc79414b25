"""Ragged prompts to decoder calls of few static shapes.

The number of images, of prompts per image and of points per prompt varies; compiled
code has static shapes. Three sizes are rounded up to buckets, with padding that does not
change results:

- tokens of a prompt, padded with `ABSENT`, which the decoder masks out of attention;
- prompt sets of an image, and images, padded with copies whose outputs are dropped.

Prompts with and without a mask input are decoded in separate calls, because without one
all prompts of an image share the decoder's image side. So are those with and without any
other input that has no entry per token.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from samjax.models.prompt_encoder import ABSENT_TOKEN, PromptInputs

MAX_PROMPT_SETS = 16
"""Prompt sets in one decoder call: enough to fill an accelerator, in little memory."""

# With the decoder's five output tokens these make 8, 16, 32, ... rows, the tile sizes of
# matrices on accelerators. The smallest holds one point, one box, a point and a box, and
# two points, each with the reference's own padding token.
TOKEN_BUCKETS = (3, 11, 27, 59, 123, 251)


class Call(NamedTuple):
    """One decoder call: the prompts in its "b p" arrangement.

    Attributes:
        images: index of the image of every row; shorter than b where rows are padding.
        prompts: for every row, indices of its prompts among those of the image.
        shape: (b, p, n), all of them buckets.
    """

    images: tuple[int, ...]
    prompts: tuple[tuple[int, ...], ...]
    shape: tuple[int, int, int]


def plan_calls(prompts: Sequence[Sequence[PromptInputs]]) -> list[Call]:
    """Groups the prompts of several images into decoder calls.

    Args:
        prompts: for every image, the inputs of each prompt set.
    """
    # Rows of one call have equal buckets: (fields that are given, tokens, prompt sets).
    rows = defaultdict(list)
    for image, in_image in enumerate(prompts):
        by_bucket = defaultdict(list)
        for index, inputs in enumerate(in_image):
            by_bucket[_given_fields(inputs), _token_bucket(inputs)].append(index)
        for kind, indices in by_bucket.items():
            for start in range(0, len(indices), MAX_PROMPT_SETS):
                row = tuple(indices[start : start + MAX_PROMPT_SETS])
                rows[*kind, _power_of_two(len(row))].append((image, row))
    calls = []
    for (_, tokens, sets), in_bucket in rows.items():
        max_rows = MAX_PROMPT_SETS // sets
        for start in range(0, len(in_bucket), max_rows):
            images, indices = zip(*in_bucket[start : start + max_rows], strict=True)
            shape = (_power_of_two(len(images)), sets, tokens)
            calls.append(Call(images, indices, shape))
    return calls


def pack(call: Call, prompts: Sequence[Sequence[PromptInputs]]) -> PromptInputs:
    """Returns the padded inputs of one call, on the default device.

    Args:
        call: one of the calls that `plan_calls` returned for `prompts`.
        prompts: for every image, the inputs of each prompt set.
    """
    fields = {}
    for name in PromptInputs._fields:
        values = [
            [getattr(prompts[image][index], name) for index in indices]
            for image, indices in zip(call.images, call.prompts, strict=True)
        ]
        if values[0][0] is not None:
            # device_put, because jnp.asarray compiles a copy for every new shape.
            fields[name] = jax.device_put(_pad(name, values, call.shape))
    return PromptInputs(**fields)


def _pad(
    name: str, values: Sequence[Sequence[np.ndarray]], shape: tuple[int, int, int]
) -> np.ndarray:
    """Returns a field of the prompt sets in each row as one array, "b p ..."."""
    first = values[0][0]
    if name in ABSENT_TOKEN:
        sides = (*shape, *first.shape[1:])
    else:
        sides = (*shape[:2], *first.shape)
    packed = np.full(sides, ABSENT_TOKEN.get(name, 0), first.dtype)
    for row, in_row in enumerate(values):
        for column, value in enumerate(in_row):
            if name in ABSENT_TOKEN:
                packed[row, column, : len(value)] = value
            else:
                packed[row, column] = value
    return packed


def _given_fields(inputs: PromptInputs) -> tuple[str, ...]:
    return tuple(name for name, value in inputs._asdict().items() if value is not None)


def _token_bucket(inputs: PromptInputs) -> int:
    tokens = len(inputs.labels)
    for bucket in TOKEN_BUCKETS:
        if tokens <= bucket:
            return bucket
    return _power_of_two(tokens)


def _power_of_two(count: int) -> int:
    return 1 << (count - 1).bit_length()
