"""`Sam` and `sam_model_registry` of `segment_anything`."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike

from samjax import checkpoints, models
from samjax.compat.errors import WrongArgument, checked
from samjax.geometry.frame import PIXEL_MEAN, PIXEL_STD, Frame
from samjax.geometry.resampling import upscale_logits, upscale_masks
from samjax.inference.embedding import ImageEmbedding
from samjax.inference.predictor import Predictor
from samjax.inference.prompt_inputs import sparse_tokens, with_text
from samjax.models.params import join, kernel_inputs, kind_of
from samjax.models.prompt_encoder import NOT_A_POINT, PromptInputs


class Sam:
    """A model with its parameters, called as the reference's `Sam` is.

    Attributes:
        predictor: the `samjax.Predictor` of the same model.
        image_encoder: namespace of `img_size`, the side of the model's input.
    """

    mask_threshold: float = 0.0
    image_format: str = "RGB"

    def __init__(self, model: models.Sam, params: Mapping[str, Any]):
        self.predictor = Predictor(model, params)
        self.image_encoder = SimpleNamespace(img_size=model.config.image_size)

    @property
    def device(self) -> str:
        """Device of arguments and results: always "cpu", whatever JAX computes on."""
        return "cpu"

    @property
    def pixel_mean(self) -> Float[np.ndarray, "3 1 1"]:
        """Mean by which pixels are normalized."""
        return np.array(PIXEL_MEAN, np.float32).reshape(3, 1, 1)

    @property
    def pixel_std(self) -> Float[np.ndarray, "3 1 1"]:
        """Standard deviation by which pixels are normalized."""
        return np.array(PIXEL_STD, np.float32).reshape(3, 1, 1)

    def to(self, *_: Any, **__: Any) -> Sam:
        """Does nothing: JAX chooses the device (see `JAX_PLATFORMS`)."""
        return self

    cuda = cpu = to

    def eval(self) -> Sam:
        """Does nothing: samjax's models are functions, and have no training mode."""
        return self

    def __call__(
        self, batched_input: Sequence[Mapping[str, Any]], multimask_output: bool
    ) -> list[dict[str, np.ndarray]]:
        """Predicts masks for images and prompts that are already in the model's frame.

        Args:
            batched_input: a dictionary for every image: `image` (3, h, w), resized;
                `original_size` (h, w); and, where present, `point_coords` (B, N, 2)
                with `point_labels` (B, N), `boxes` (B, 4), `mask_inputs` (B, 1, l, l).
            multimask_output: three masks or one.

        Returns:
            A dictionary for every image: `masks` bool (B, C, H, W), `iou_predictions`
            (B, C), `low_res_logits` (B, C, l, l).
        """
        resized = []
        for record in batched_input:
            image = checked("image", record["image"], (3, "h", "w"), None)
            size = self.image_encoder.img_size
            if max(image.shape[1:]) > size:
                raise WrongArgument(
                    f"got an image {image.shape}, expected sides of at most {size}: "
                    "resize it with ResizeLongestSide first"
                )
            frame = make_frame(record["original_size"], image.shape[1:], size)
            resized.append((image.transpose(1, 2, 0), frame))
        embeddings = self.predictor.embed_resized(resized)
        outputs = []
        for embedding, record in zip(embeddings, batched_input, strict=True):
            low_res_logits, scores = self.decode(
                embedding,
                record.get("point_coords"),
                record.get("point_labels"),
                record.get("boxes"),
                record.get("mask_inputs"),
                multimask_output=multimask_output,
            )
            outputs.append(
                {
                    "masks": self.threshold_masks(low_res_logits, embedding.frame),
                    "iou_predictions": scores,
                    "low_res_logits": low_res_logits,
                }
            )
        return outputs

    forward = __call__

    def decode(
        self,
        embedding: ImageEmbedding,
        point_coords: ArrayLike | None,
        point_labels: ArrayLike | None,
        boxes: ArrayLike | None,
        mask_input: ArrayLike | None,
        *,
        multimask_output: bool,
        text: str | None = None,
    ) -> tuple[Float[np.ndarray, "b m l l"], Float[np.ndarray, "b m"]]:
        """Decodes B prompts, in the model's frame, on one image.

        Returns:
            Low-res logits, and scores.
        """
        low_res_size = self.predictor.low_res_size
        prompts = _model_prompts(
            point_coords, point_labels, boxes, mask_input, low_res_size
        )
        if text is not None:
            vector = self.predictor.embed_text(text)
            prompts = [with_text(prompt, vector) for prompt in prompts]
        [results] = self.predictor.decode_prompts([embedding], [prompts])
        kept = slice(1, None) if multimask_output else slice(0, 1)
        logits, scores = zip(*results, strict=True)
        return np.stack(logits)[:, kept], np.stack(scores)[:, kept]

    def postprocess_masks(
        self,
        masks: Float[np.ndarray, "b m l l"],
        input_size: tuple[int, ...],
        original_size: tuple[int, ...],
    ) -> Float[np.ndarray, "b m h w"]:
        """Removes the padding of low-res logits and brings them to `original_size`."""
        masks = checked("masks", masks, ("B", "C", "l", "l"), np.float32)
        frame = make_frame(original_size, input_size, self.image_encoder.img_size)
        return np.stack([upscale_logits(logits, frame) for logits in masks])

    def threshold_masks(
        self, masks: Float[np.ndarray, "b m l l"], frame: Frame
    ) -> Bool[np.ndarray, "b m h w"]:
        """Equals `postprocess_masks` and a threshold, and is several times faster."""
        threshold = self.mask_threshold
        return np.stack([upscale_masks(logits, frame, threshold) for logits in masks])

    def preprocess(self, x: ArrayLike) -> Float[np.ndarray, "*b 3 s s"]:
        """Normalizes resized pixels, (3, h, w) or (B, 3, h, w), and pads them."""
        x = np.asarray(x, np.float32)
        size = self.image_encoder.img_size
        padding = [(0, 0)] * (x.ndim - 2) + [(0, size - side) for side in x.shape[-2:]]
        return np.pad((x - self.pixel_mean) / self.pixel_std, padding)


def make_frame(
    original_size: Sequence[int], input_size: Sequence[int], model_size: int
) -> Frame:
    """Returns the frame of the sizes that the reference's functions take."""
    height, width = (int(side) for side in original_size)
    input_height, input_width = (int(side) for side in input_size)
    return Frame((height, width), (input_height, input_width), model_size)


def _model_prompts(
    point_coords: ArrayLike | None,
    point_labels: ArrayLike | None,
    boxes: ArrayLike | None,
    mask_input: ArrayLike | None,
    low_res_size: int,
) -> list[PromptInputs]:
    """Returns the prompt sets of the reference's batched prompts.

    Raises:
        WrongArgument: an argument has a wrong shape, or their lengths differ.
    """
    points = labels = masks = corners = None
    if point_coords is not None:
        if point_labels is None:
            raise WrongArgument(
                "got point_coords without point_labels, expected a label for every "
                "point: 1 on the object, 0 not on it"
            )
        points = checked("point_coords", point_coords, ("B", "N", 2), np.float32)
        labels = checked("point_labels", point_labels, ("B", "N"), np.int32)
        if points.shape != (*labels.shape, 2):
            raise WrongArgument(
                f"got point_coords {points.shape} and point_labels {labels.shape}, "
                "expected (B, N, 2) and (B, N)"
            )
        if not np.isin(labels, (NOT_A_POINT, 0, 1)).all():
            raise WrongArgument(
                f"got point_labels {np.unique(labels).tolist()}, expected 1 (on the "
                "object), 0 (not on it) or -1 (padding)"
            )
    if boxes is not None:
        if np.ndim(boxes) == 3 and np.shape(boxes)[1] == 1:
            # The shape of boxes in the reference's own export.
            boxes = np.asarray(boxes)[:, 0]
        corners = checked("boxes", boxes, ("B", 4), np.float32)
    if mask_input is not None:
        side = low_res_size
        masks = checked("mask_input", mask_input, ("B", 1, side, side), np.float32)
    given = [array for array in (points, corners, masks) if array is not None]
    lengths = {len(array) for array in given} or {1}
    if len(lengths) > 1:
        raise WrongArgument(
            f"got prompts for {sorted(lengths)} objects, expected as many boxes and "
            "masks as sets of points: B is the first axis of each"
        )
    prompts = []
    for i in range(lengths.pop()):
        coordinates, codes = sparse_tokens(
            None if points is None else points[i],
            None if labels is None else labels[i],
            None if corners is None else corners[i],
        )
        mask = None if masks is None else masks[i, 0]
        prompts.append(PromptInputs(coordinates, codes, mask))
    return prompts


def _build(name: str, checkpoint: str | os.PathLike | None = None) -> Sam:
    """Builds one of the released models.

    Args:
        name: "vit_b", "vit_l", "vit_h", "small" or "tiny".
        checkpoint: a file or folder that `samjax.load` reads. Without one, the model
            has random parameters, as in the reference; "small" and "tiny" have
            their bundled ones.

    Raises:
        ValueError: the checkpoint is of another size.
    """
    config = models.SIZES[name]
    if checkpoint is None and not checkpoints.RELEASES[name].bundled:
        model = models.Sam(config)
        return Sam(model, _random_params(model))
    model, params = checkpoints.load(name if checkpoint is None else checkpoint)
    if model.config != config:
        alike = [key for key, value in models.SIZES.items() if value == model.config]
        raise ValueError(
            f"got {checkpoint}, a checkpoint of {alike or model.config}, expected {name}: "
            "choose the entry of sam_model_registry by the file, or use samjax.load"
        )
    return Sam(model, params)


def _random_params(model: models.Sam) -> Mapping[str, Any]:
    """Returns initial parameters, of the variance of the modules' initializers."""
    # Drawn with numpy: compiling so many initializers takes minutes.
    side = model.config.image_size
    pixels = jax.ShapeDtypeStruct((1, side, side, 3), np.float32)
    prompts = PromptInputs(jnp.zeros((1, 1, 1, 2)), jnp.zeros((1, 1, 1), jnp.int32))
    shapes = jax.eval_shape(model.init, jax.random.key(0), pixels, prompts)["params"]
    generator = np.random.default_rng(0)

    def fill(path, leaf) -> np.ndarray:
        name = join(key.key for key in path)
        match kind_of(name):
            case "norm":
                return np.ones(leaf.shape, np.float32)
            case "weight":
                spread = np.float32(kernel_inputs(name, leaf.shape) ** -0.5)
                return generator.standard_normal(leaf.shape, np.float32) * spread
            case "token" | "constant":
                return generator.standard_normal(leaf.shape, np.float32)
            case _:  # biases and tables of positions
                return np.zeros(leaf.shape, np.float32)

    return jax.tree_util.tree_map_with_path(fill, shapes)


def _build_with_text(checkpoint: str | os.PathLike | None = None) -> Sam:
    """Builds a model with text prompts, the bundled one without a checkpoint.

    Raises:
        ValueError: the checkpoint has no text.
    """
    model, params = checkpoints.load(checkpoint or "small_text")
    if not isinstance(model, models.Sam) or not model.has_text:
        raise ValueError(
            f"got {checkpoint}, weights without text, expected a model with a text tower"
        )
    return Sam(model, params)


build_sam_vit_h = functools.partial(_build, "vit_h")
build_sam_vit_l = functools.partial(_build, "vit_l")
build_sam_vit_b = functools.partial(_build, "vit_b")
build_sam = build_sam_vit_h

sam_model_registry: dict[str, Callable[..., Sam]] = {
    "default": build_sam,
    "vit_h": build_sam_vit_h,
    "vit_l": build_sam_vit_l,
    "vit_b": build_sam_vit_b,
    "small": functools.partial(_build, "small"),
    "small_text": _build_with_text,
    "tiny": functools.partial(_build, "tiny"),
}
