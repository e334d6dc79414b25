"""Prompts in pixels of an image to inputs of the prompt encoder, one prompt set each.

A point is one token with its label, a box two tokens, as in the release (SAM, appendix A,
"Prompt encoder").
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int, Real

from samjax.geometry.frame import Frame
from samjax.geometry.resampling import mask_to_prompt
from samjax.models.prompt_encoder import (
    BOX_BOTTOM_RIGHT,
    BOX_TOP_LEFT,
    NOT_A_POINT,
    PromptInputs,
)
from samjax.prompts import Prompt


def to_inputs(
    prompt: Prompt,
    frame: Frame,
    low_res_size: int,
    text: Float[np.ndarray, " e"] | None = None,
) -> PromptInputs:
    """Maps a prompt from the frame of an image into the model's frame.

    Args:
        prompt: In pixels of the original image.
        frame: Frame of the image.
        low_res_size: Side of the model's low-res masks.
        text: The vector of its text, if it has one.

    Returns:
        The inputs of this prompt set alone, without the axes "b p": points float32
        "n 2" without the half pixel, labels int32 "n", the mask float32 "l l" or None,
        the text float32 "e" or None.

    Raises:
        ValueError: its mask fits neither the image nor the model.
    """
    points = box = None
    if len(prompt.points):
        points = frame.points_to_model(prompt.points)
    if prompt.box is not None:
        box = frame.boxes_to_model(prompt.box)
    points, labels = sparse_tokens(points, prompt.labels, box)
    mask = _mask_logits(prompt.mask, frame, low_res_size)
    return with_text(PromptInputs(points, labels, mask), text)


def with_text(
    inputs: PromptInputs, text: Float[np.ndarray, " e"] | None
) -> PromptInputs:
    """Adds the vector of a text to the inputs of a prompt set.

    A text without points and box is followed by "not a point", as points without a box
    are.

    Args:
        inputs: The inputs of this prompt set alone.
        text: The vector, or None.
    """
    if text is None:
        return inputs
    if not len(inputs.labels):
        inputs = inputs._replace(
            points=np.zeros((1, 2), np.float32),
            labels=np.array([NOT_A_POINT], np.int32),
        )
    return inputs._replace(text=text)


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
