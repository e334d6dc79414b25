"""The PyTorch reference, `segment_anything` 1.0, as a `Segmenter`.

Images are resized by its `ResizeLongestSide`, and prompts go through its prompt encoder
and mask decoder as in its `SamPredictor`. The single mask and the multimask output come
from one pass of the decoder, of which `SamPredictor` returns one or the other.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from samjax.evaluation.segmenter import Prediction, PromptKind
from samjax.evaluation.segmenters.torch_masks import (
    PromptArrays,
    TorchEmbedding,
    predict_in_batches,
)
from samjax.files import sha256_of
from samjax.geometry.frame import Frame
from samjax.prompts import Prompt

_SIZES = {768: "vit_b", 1024: "vit_l", 1280: "vit_h"}


@dataclasses.dataclass(frozen=True, eq=False)
class TorchReference:
    """A `Sam` of `segment_anything`.

    Attributes:
        sam: The model, on any device.
        name: Name of its weights.
        weights: SHA-256 of their file, if there is one.
        batch: Prompts of one call of the decoder.
    """

    sam: Any
    name: str = ""
    weights: str | None = None
    batch: int = 16

    @property
    def prompt_kinds(self) -> frozenset[PromptKind]:
        """Points, boxes and masks."""
        return frozenset(("points", "box", "mask"))

    def describe(self) -> Mapping[str, Any]:
        """Returns the name, the hash of the weights, the input size and the version."""
        import importlib.metadata

        versions = {}
        for package in ("segment-anything", "torch"):
            try:
                versions[package] = importlib.metadata.version(package)
            except importlib.metadata.PackageNotFoundError:
                continue
        return {
            "name": f"segment_anything {self.name}".strip(),
            "weights": self.weights,
            "image_size": self.sam.image_encoder.img_size,
            "versions": versions,
        }

    def embed(self, image: UInt8[np.ndarray, "h w 3"]) -> TorchEmbedding:
        """Embeds an image."""
        import torch

        side = self.sam.image_encoder.img_size
        frame = Frame.fit((image.shape[0], image.shape[1]), side)
        # The same call of Pillow as that of `ResizeLongestSide.apply_image`.
        pixels = frame.resize_image(image).transpose(2, 0, 1)[None]
        with torch.no_grad():
            batch = torch.from_numpy(np.ascontiguousarray(pixels)).to(self.sam.device)
            features = self.sam.image_encoder(self.sam.preprocess(batch))
        return TorchEmbedding(features, frame)

    def predict(
        self, embedding: TorchEmbedding, prompts: Sequence[Prompt]
    ) -> list[Prediction]:
        """Predicts the masks of prompts, those of one kind in one batch."""

        def decode(arrays: PromptArrays) -> tuple[Any, Any]:
            return self._decode(embedding.features, arrays)

        return predict_in_batches(decode, embedding.frame, prompts, most=self.batch)

    def _decode(self, features: Any, arrays: PromptArrays) -> tuple[Any, Any]:
        import torch

        def on_device(array: Any) -> Any:
            return None if array is None else torch.as_tensor(array).to(self.sam.device)

        points = None
        if arrays.points is not None:
            points = on_device(arrays.points), on_device(arrays.labels)
        with torch.no_grad():
            sparse, dense = self.sam.prompt_encoder(
                points=points,
                boxes=on_device(arrays.boxes),
                masks=on_device(arrays.masks),
            )
            logits, scores = self.sam.mask_decoder.predict_masks(
                image_embeddings=features,
                image_pe=self.sam.prompt_encoder.get_dense_pe(),
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
            )
        return logits.cpu(), scores.cpu()


def image_size_of(path: str) -> int:
    """Returns the side of the input of released models, 1024 pixels.

    Args:
        path: The weights.
    """
    return 1024


def load_reference(path: str) -> TorchReference:
    """Loads released weights, or a fine-tune of them, with `segment_anything`.

    Args:
        path: A .pth file with the weights of ViT-B, L or H.

    Raises:
        ImportError: `segment_anything`, PyTorch or torchvision is missing.
        ValueError: The file is none of such weights.
        OSError: It is not there or cannot be read.
    """
    try:
        import torch
        from segment_anything import sam_model_registry
    except ImportError as error:
        raise ImportError(
            "the segmenter `reference` needs torch, torchvision and segment-anything: "
            f"run pip install torch torchvision segment-anything ({error})"
        ) from error
    file = Path(path)
    file.stat()
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        name = _SIZES[state["image_encoder.pos_embed"].shape[-1]]
        sam = sam_model_registry[name]()
        sam.load_state_dict(state)
    # PyTorch raises errors of many kinds for files that are no weights.
    except Exception as error:
        raise ValueError(
            f"{path}: expected the weights of ViT-B, L or H as released, got "
            f"{type(error).__name__}: {str(error)[:200]}"
        ) from error
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return TorchReference(sam.eval().to(device), name, sha256_of(file))
