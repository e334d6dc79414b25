"""What the adapters of PyTorch models share: masks of full size, batches of prompts.

Low-res logits are scaled as in the reference's `Sam.postprocess_masks`: to the padded
input, cut to the image, and to its original size.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from samjax.evaluation.segmenter import Prediction
from samjax.geometry.frame import Frame
from samjax.inference.masks import Masks
from samjax.prompts import Prompt


class TorchMasks(Masks):
    """Masks whose low-res logits PyTorch brings to the original size."""

    @functools.cached_property
    def masks(self) -> Bool[np.ndarray, "m h w"]:
        """Masks of the original image's size: true where the logit is above 0."""
        return self.full_logits() > 0

    def full_logits(self) -> Float[np.ndarray, "m h w"]:
        """Returns the logits at the original image's size."""
        import torch
        from torch.nn.functional import interpolate

        side = self.frame.model_size
        height, width = self.frame.resized_size
        options: Any = {"mode": "bilinear", "align_corners": False}
        with torch.no_grad():
            logits = torch.from_numpy(np.array(self.logits, np.float32))[None]
            logits = interpolate(logits, (side, side), **options)
            logits = logits[..., :height, :width]
            return interpolate(logits, self.frame.original_size, **options)[0].numpy()

    def select(self, index: Any) -> TorchMasks:
        """Returns some of the masks.

        Args:
            index: A slice, or indices of shape (k,).
        """
        return TorchMasks(self.logits[index], self.scores[index], self.frame)


class TorchEmbedding(NamedTuple):
    """An embedded image.

    Attributes:
        features: The tensor (1, c, gh, gw) of PyTorch.
        frame: The frame of the image.
    """

    features: Any
    frame: Frame

    def feature_map(self) -> Float[np.ndarray, "gh gw c"]:
        """Returns the features of every position, as samjax has them."""
        return self.features[0].float().cpu().numpy().transpose(1, 2, 0)


class PromptArrays(NamedTuple):
    """Prompts of one kind in the model's frame.

    Attributes:
        points: Points in pixels of the model's input; None without any.
        labels: Their labels.
        boxes: Boxes, XYXY in pixels of the model's input; None without.
        masks: Low-res logits; None without.
    """

    points: Float[np.ndarray, "b n 2"] | None
    labels: Any
    boxes: Float[np.ndarray, "b 4"] | None
    masks: Float[np.ndarray, "b 1 l l"] | None


Decode = Callable[[PromptArrays], tuple[Any, Any]]
"""Decodes prompts of one kind: logits (b, 1 + m, l, l) and predicted IoUs (b, 1 + m) as
tensors, the single mask first."""


def predict_in_batches(
    decode: Decode, frame: Frame, prompts: Sequence[Prompt], *, most: int
) -> list[Prediction]:
    """Predicts the masks of prompts, those of one kind that follow one another together.

    Args:
        decode: The decoder.
        frame: The frame of the image.
        prompts: The prompts.
        most: Most prompts of a call of the decoder.

    Raises:
        ValueError: A prompt has text, or a mask that is no low-res logits.
    """
    predictions = []
    for batch in _batches(prompts, most):
        logits, scores = decode(_arrays(batch, frame))
        pairs = zip(logits.float().numpy(), scores.float().numpy(), strict=True)
        for of_logits, of_scores in pairs:
            masks = TorchMasks(np.array(of_logits), np.array(of_scores), frame)
            predictions.append(
                Prediction(masks.select(slice(0, 1)), masks.select(slice(1, None)))
            )
    return predictions


def _kind(prompt: Prompt) -> tuple[int, bool, bool]:
    return len(prompt.points), prompt.box is not None, prompt.mask is not None


def _batches(prompts: Sequence[Prompt], most: int) -> Iterator[list[Prompt]]:
    batch: list[Prompt] = []
    for prompt in prompts:
        if batch and (len(batch) == most or _kind(prompt) != _kind(batch[0])):
            yield batch
            batch = []
        batch.append(prompt)
    if batch:
        yield batch


def _arrays(batch: Sequence[Prompt], frame: Frame) -> PromptArrays:
    points, has_box, has_mask = _kind(batch[0])
    for prompt in batch:
        is_whole = prompt.mask is not None and prompt.mask.dtype == bool
        if prompt.text is not None or is_whole:
            raise ValueError(
                "got a prompt with text or with a mask of the image's size, expected "
                "points, a box, or low-res logits"
            )
    scale = np.array(frame.scale)
    return PromptArrays(
        np.stack([prompt.points * scale for prompt in batch]).astype(np.float32)
        if points
        else None,
        np.stack([prompt.labels for prompt in batch]) if points else None,
        np.stack([prompt.box * np.tile(scale, 2) for prompt in batch]).astype(
            np.float32
        )
        if has_box
        else None,
        np.array([prompt.mask for prompt in batch], np.float32)[:, None]
        if has_mask
        else None,
    )
