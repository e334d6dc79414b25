"""`SamModel` of transformers as a `Segmenter`.

Images are resized and normalized as in the PyTorch reference, with Pillow: the image
processor of transformers needs torchvision, and its results differ by the rounding of a
pixel.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
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
from samjax.geometry.frame import PIXEL_MEAN, PIXEL_STD, Frame
from samjax.prompts import Prompt


@dataclasses.dataclass(frozen=True, eq=False)
class TransformersSam:
    """A `SamModel`, or a model of transformers with the same interface.

    Attributes:
        model: The model, on any device.
        name: Name of its weights.
        weights: A hash of their files, if there are some.
        batch: Prompts of one call of the decoder.
    """

    model: Any
    name: str = ""
    weights: str | None = None
    batch: int = 16

    @property
    def prompt_kinds(self) -> frozenset[PromptKind]:
        """Points, boxes and masks."""
        return frozenset(("points", "box", "mask"))

    def describe(self) -> Mapping[str, Any]:
        """Returns the name, the hash of the weights, the input size and the version."""
        import torch
        import transformers

        return {
            "name": f"transformers {self.name}".strip(),
            "weights": self.weights,
            "image_size": self._side,
            "versions": {
                "transformers": transformers.__version__,
                "torch": torch.__version__,
            },
        }

    @property
    def _side(self) -> int:
        return self.model.config.vision_config.image_size

    def embed(self, image: UInt8[np.ndarray, "h w 3"]) -> TorchEmbedding:
        """Embeds an image."""
        import torch

        frame = Frame.fit((image.shape[0], image.shape[1]), self._side)
        pixels = frame.resize_image(image).astype(np.float32)
        pixels = (pixels - np.array(PIXEL_MEAN, np.float32)) / np.array(
            PIXEL_STD, np.float32
        )
        batch = np.ascontiguousarray(frame.pad(pixels).transpose(2, 0, 1)[None])
        with torch.no_grad():
            features = self.model.get_image_embeddings(
                torch.from_numpy(batch).to(self.model.device)
            )
        return TorchEmbedding(features, frame)

    def predict(
        self, embedding: TorchEmbedding, prompts: Sequence[Prompt]
    ) -> list[Prediction]:
        """Predicts the masks of prompts; those with a mask one by one."""

        def decode(arrays: PromptArrays) -> tuple[Any, Any]:
            return self._decode(embedding.features, arrays)

        # The model takes one mask per image, not per prompt.
        has_mask = any(prompt.mask is not None for prompt in prompts)
        most = 1 if has_mask else self.batch
        return predict_in_batches(decode, embedding.frame, prompts, most=most)

    def _decode(self, features: Any, arrays: PromptArrays) -> tuple[Any, Any]:
        import torch

        def on_device(array: Any, axis: int | None = 0) -> Any:
            if array is None:
                return None
            tensor = torch.as_tensor(array).to(self.model.device)
            return tensor if axis is None else tensor[None]

        inputs = {
            "image_embeddings": features,
            "input_points": on_device(arrays.points),
            "input_labels": on_device(arrays.labels),
            "input_boxes": on_device(arrays.boxes),
            "input_masks": on_device(arrays.masks, None),
        }
        with torch.no_grad():
            single, three = (
                self.model(**inputs, multimask_output=multimask)
                for multimask in (False, True)
            )
        logits = torch.cat([single.pred_masks[0], three.pred_masks[0]], dim=1)
        scores = torch.cat([single.iou_scores[0], three.iou_scores[0]], dim=1)
        return logits.cpu(), scores.cpu()


def load_transformers(path: str) -> TransformersSam:
    """Loads a folder of Hugging Face with transformers.

    Args:
        path: The folder, with `config.json` and the weights.

    Raises:
        ImportError: transformers or PyTorch is missing.
        ValueError: The folder has no such model.
        OSError: It is not there or cannot be read.
    """
    try:
        import torch
        from transformers import SamModel
    except ImportError as error:
        raise ImportError(
            "the segmenter `transformers` needs torch and transformers: run pip install "
            f"torch transformers ({error})"
        ) from error
    folder = Path(path)
    image_size_of(path)
    model: Any = SamModel.from_pretrained(folder, local_files_only=True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    # Weights that are stored in half precision are loaded so, and images are float32.
    model = model.eval().float().to(device)
    return TransformersSam(model, folder.resolve().name, _hash_of_weights(folder))


def image_size_of(path: str) -> int:
    """Returns the side of the input of a model, by its `config.json`.

    Args:
        path: The folder.

    Raises:
        ValueError: The folder has no such file, or it is of another model.
        OSError: It cannot be read.
    """
    file = Path(path) / "config.json"
    if not file.is_file():
        raise ValueError(
            f"{path}: expected a folder with config.json and the weights of a SamModel"
        )
    try:
        config = json.loads(file.read_text(encoding="utf-8"))["vision_config"]
        # Fields that are as by default are not written.
        return int(config.get("image_size", 1024))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{file}: expected the config of a SamModel, got {type(error).__name__}: "
            f"{str(error)[:200]}"
        ) from error


def _hash_of_weights(folder: Path) -> str:
    """Returns a hash of the names and contents of all files of weights."""
    digest = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        if file.suffix in (".safetensors", ".bin"):
            digest.update(f"{file.name} {sha256_of(file)}\n".encode())
    return digest.hexdigest()
