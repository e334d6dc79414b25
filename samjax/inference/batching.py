"""Ragged prompts to decoder calls of few static shapes.

The number of images, of prompts per image and of points per prompt varies; compiled
code has static shapes. Three sizes are rounded up to buckets, with padding that does not
change results:

- tokens of a prompt, padded with `ABSENT`, which the decoder masks out of attention;
- prompt sets of an image, and images, padded with copies whose outputs are dropped.

Prompts with and without a mask input are decoded in separate calls, because without one
all prompts of an image share the decoder's image side.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int, Real

from samjax.geometry.frame import Frame
from samjax.geometry.resampling import mask_to_prompt
from samjax.inference.prompts import Prompt
from samjax.models.prompt_encoder import (
    ABSENT,
    BOX_BOTTOM_RIGHT,
    BOX_TOP_LEFT,
    NOT_A_POINT,
    PromptInputs,
)

MAX_PROMPT_SETS = 16
"""Prompt sets in one decoder call: enough to fill an accelerator, in little memory."""

# With the decoder's five output tokens these make 8, 16, 32, ... rows, the tile sizes of
# matrices on accelerators. The smallest holds one point, one box, a point and a box, and
# two points, each with the reference's own padding token.
TOKEN_BUCKETS = (3, 11, 27, 59, 123, 251)


class ModelPrompt(NamedTuple):
    """A prompt set in the model's frame: the decoder's inputs before padding.

    Attributes:
        points: Float32 "n 2", without the half pixel.
        labels: Int32 "n", the codes of `samjax.models.prompt_encoder`.
        mask: Float32 "l l" logits, or None.
    """

    points: np.ndarray
    labels: np.ndarray
    mask: np.ndarray | None


class Call(NamedTuple):
    """One decoder call: the prompts in its "b p" arrangement.

    Attributes:
        images: index of the image of every row; shorter than b where rows are padding.
        prompts: for every row, indices of its prompts among those of the image.
        shape: (b, p, n), all of them buckets.
        has_masks: whether the prompts of this call have masks.
    """

    images: tuple[int, ...]
    prompts: tuple[tuple[int, ...], ...]
    shape: tuple[int, int, int]
    has_masks: bool


def to_model(prompt: Prompt, frame: Frame, low_res_size: int) -> ModelPrompt:
    """Maps a prompt from the frame of an image into the model's frame.

    Raises:
        ValueError: its mask fits neither the image nor the model.
    """
    points = box = None
    if len(prompt.points):
        points = frame.points_to_model(prompt.points)
    if prompt.box is not None:
        box = frame.boxes_to_model(prompt.box)
    points, labels = sparse_tokens(points, prompt.labels, box)
    return ModelPrompt(points, labels, _mask_logits(prompt.mask, frame, low_res_size))


def sparse_tokens(
    points: Real[np.ndarray, "n 2"] | None,
    labels: Int[np.ndarray, " n"] | None,
    box: Real[np.ndarray, " 4"] | None,
) -> tuple[Float[np.ndarray, "t 2"], Int[np.ndarray, " t"]]:
    """Returns the tokens of points and box in the reference's order.

    Points first; then, if there are points and no box, one "not a point", a token that
    the decoder attends to; then the two corners of the box. The half pixel is added by
    the prompt encoder.

    Args:
        points: in the model's frame, or None.
        labels: their labels, or None.
        box: XYXY in the model's frame, or None.

    Returns:
        Coordinates, and the codes of `samjax.models.prompt_encoder`.
    """
    coordinates, codes = [np.zeros((0, 2))], [np.zeros(0)]
    if points is not None and labels is not None:
        coordinates.append(points)
        codes.append(labels)
        if box is None:
            coordinates.append(np.zeros((1, 2)))
            codes.append(np.array([NOT_A_POINT]))
    if box is not None:
        coordinates.append(box.reshape(2, 2))
        codes.append(np.array([BOX_TOP_LEFT, BOX_BOTTOM_RIGHT]))
    return (
        np.concatenate(coordinates).astype(np.float32),
        np.concatenate(codes).astype(np.int32),
    )


def plan_calls(prompts: Sequence[Sequence[ModelPrompt]]) -> list[Call]:
    """Groups the prompts of several images into decoder calls.

    Args:
        prompts: for every image, its prompts.
    """
    # Rows of one call have equal buckets: (has a mask, tokens, prompt sets).
    rows = defaultdict(list)
    for image, in_image in enumerate(prompts):
        by_bucket = defaultdict(list)
        for index, prompt in enumerate(in_image):
            by_bucket[prompt.mask is not None, _token_bucket(prompt)].append(index)
        for kind, indices in by_bucket.items():
            for start in range(0, len(indices), MAX_PROMPT_SETS):
                row = tuple(indices[start : start + MAX_PROMPT_SETS])
                rows[*kind, _power_of_two(len(row))].append((image, row))
    calls = []
    for (has_masks, tokens, sets), in_bucket in rows.items():
        max_rows = MAX_PROMPT_SETS // sets
        for start in range(0, len(in_bucket), max_rows):
            images, indices = zip(*in_bucket[start : start + max_rows], strict=True)
            shape = (_power_of_two(len(images)), sets, tokens)
            calls.append(Call(images, indices, shape, has_masks))
    return calls


def pack(
    call: Call, prompts: Sequence[Sequence[ModelPrompt]], low_res_size: int
) -> PromptInputs:
    """Returns the padded inputs of one call.

    Args:
        call: one of the calls that `plan_calls` returned for `prompts`.
        prompts: for every image, its prompts.
        low_res_size: side of the model's low-res masks.
    """
    points = np.zeros((*call.shape, 2), np.float32)
    labels = np.full(call.shape, ABSENT, np.int32)
    masks = None
    if call.has_masks:
        masks = np.zeros((*call.shape[:2], low_res_size, low_res_size), np.float32)
    for row, (image, indices) in enumerate(zip(call.images, call.prompts, strict=True)):
        for column, index in enumerate(indices):
            prompt = prompts[image][index]
            points[row, column, : len(prompt.points)] = prompt.points
            labels[row, column, : len(prompt.labels)] = prompt.labels
            if masks is not None:
                masks[row, column] = prompt.mask
    # device_put, because jnp.asarray compiles a copy for every new shape.
    return PromptInputs(
        jax.device_put(points),
        jax.device_put(labels),
        None if masks is None else jax.device_put(masks),
    )


def _mask_logits(
    mask: np.ndarray | None, frame: Frame, low_res_size: int
) -> np.ndarray | None:
    if mask is None:
        return None
    if mask.dtype == np.bool_:
        return mask_to_prompt(mask, frame, low_res_size)
    if mask.shape != (low_res_size, low_res_size):
        raise ValueError(
            f"got mask logits of shape {mask.shape}, expected "
            f"({low_res_size}, {low_res_size}) for this model: pass the `logits` of an "
            "earlier prediction, or a bool mask of the original image's size"
        )
    return mask


def _token_bucket(prompt: ModelPrompt) -> int:
    tokens = len(prompt.labels)
    for bucket in TOKEN_BUCKETS:
        if tokens <= bucket:
            return bucket
    return _power_of_two(tokens)


def _power_of_two(count: int) -> int:
    return 1 << (count - 1).bit_length()
