"""`SamPredictor` of `segment_anything`: prompts on one current image."""

from __future__ import annotations

import jax
import numpy as np
from jaxtyping import Bool, Float, Shaped
from numpy.typing import ArrayLike

from samjax.compat.errors import WrongArgument
from samjax.compat.model import Sam, make_frame
from samjax.compat.transforms import ResizeLongestSide
from samjax.inference.embedding import ImageEmbedding
from samjax.inference.images import read_image


class SamPredictor:
    """Embeds an image once, then predicts masks of prompts on it.

    As in the reference, the state may be saved and restored: `features`,
    `original_size`, `input_size` and `is_image_set` can be assigned.

    Attributes:
        model: the `Sam` given to the constructor.
        transform: maps images, points and boxes to the model's input.
        is_image_set: whether there is a current image.
        original_size: its (h, w).
        input_size: its (h, w) in the model's input, without padding.
    """

    def __init__(self, sam_model: Sam):
        self.model = sam_model
        self.transform = ResizeLongestSide(sam_model.image_encoder.img_size)
        self.reset_image()

    def reset_image(self) -> None:
        """Removes the current image."""
        self.is_image_set = False
        self.original_size: tuple[int, ...] | None = None
        self.input_size: tuple[int, ...] | None = None
        # The reference has these attributes, which are always None.
        self.orig_h = self.orig_w = self.input_h = self.input_w = None
        self._embedding: ImageEmbedding | None = None
        self._features: np.ndarray | None = None

    def set_image(self, image: ArrayLike, image_format: str = "RGB") -> None:
        """Embeds an image.

        Args:
            image: uint8 (h, w, 3), or another array that `samjax.inference.read_image`
                reads.
            image_format: "RGB" or "BGR", the order of its channels.

        Raises:
            WrongArgument: `image_format` is another one.
        """
        if image_format not in ("RGB", "BGR"):
            raise WrongArgument(f"got {image_format=}, expected 'RGB' or 'BGR'")
        pixels = read_image(np.asarray(image))
        if image_format != self.model.image_format:
            pixels = pixels[..., ::-1]
        resized = self.transform.apply_image(pixels)
        self.set_torch_image(resized.transpose(2, 0, 1)[None], pixels.shape[:2])

    def set_torch_image(
        self, transformed_image: ArrayLike, original_image_size: tuple[int, ...]
    ) -> None:
        """Embeds an image that is already resized; numpy, despite the name.

        Args:
            transformed_image: (1, 3, h, w) on the 0..255 scale, its longer side that of
                the model's input.
            original_image_size: (h, w) before it was resized.

        Raises:
            WrongArgument: The image has another shape.
        """
        image = np.asarray(transformed_image)
        side = self.model.image_encoder.img_size
        if image.ndim != 4 or image.shape[:2] != (1, 3) or max(image.shape[2:]) != side:
            raise WrongArgument(
                f"got an image of shape {image.shape}, expected (1, 3, h, w) with a "
                f"long side of {side}: resize with transform.apply_image, then "
                "transpose(2, 0, 1)[None]"
            )
        self.reset_image()
        frame = make_frame(original_image_size, image.shape[2:], side)
        [self._embedding] = self.model.predictor.embed_resized(
            [(image[0].transpose(1, 2, 0), frame)]
        )
        self.original_size, self.input_size = frame.original_size, frame.resized_size
        self.is_image_set = True

    def predict(
        self,
        point_coords: ArrayLike | None = None,
        point_labels: ArrayLike | None = None,
        box: ArrayLike | None = None,
        mask_input: ArrayLike | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
        *,
        text: str | None = None,
    ) -> tuple[
        Shaped[np.ndarray, "m h w"], Float[np.ndarray, " m"], Float[np.ndarray, "m l l"]
    ]:
        """Predicts the masks of one prompt, in pixels of the current image.

        Args:
            point_coords: (N, 2), x and y.
            point_labels: (N,), 1 on the object, 0 off it.
            box: (4,), XYXY.
            mask_input: (1, l, l), low-res logits of an earlier prediction.
            multimask_output: three masks, for ambiguous prompts, or one.
            return_logits: logits instead of boolean masks.
            text: a description of the object, for weights with text; not in the
                reference.

        Returns:
            Masks of the image's size, scores, and low-res logits.

        Raises:
            WrongArgument: The box is not one box.
        """
        original_size = self._sizes()[0]
        if point_coords is not None:
            point_coords = self.transform.apply_coords(point_coords, original_size)[
                None
            ]
            if point_labels is not None:
                point_labels = np.asarray(point_labels)[None]
        if box is not None:
            if np.size(box) != 4:
                raise WrongArgument(
                    f"got a box of shape {np.shape(box)}, expected (4,), XYXY: "
                    "predict_torch takes several boxes, Predictor.predict_batch too"
                )
            box = self.transform.apply_boxes(box, original_size)
        if mask_input is not None:
            mask_input = np.asarray(mask_input)[None]
        masks, scores, low_res_masks = self.predict_torch(
            point_coords,
            point_labels,
            box,
            mask_input,
            multimask_output,
            return_logits,
            text=text,
        )
        return masks[0], scores[0], low_res_masks[0]

    def predict_torch(
        self,
        point_coords: ArrayLike | None,
        point_labels: ArrayLike | None,
        boxes: ArrayLike | None = None,
        mask_input: ArrayLike | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
        *,
        text: str | None = None,
    ) -> tuple[
        Float[np.ndarray, "b m h w"] | Bool[np.ndarray, "b m h w"],
        Float[np.ndarray, "b m"],
        Float[np.ndarray, "b m l l"],
    ]:
        """Predicts the masks of B prompts, in the model's frame.

        Arrays are numpy, despite the name.

        Args:
            point_coords: (B, N, 2), from `transform.apply_coords`.
            point_labels: (B, N), 1, 0, or -1 for padding. As in the reference, padding
                changes results a little; `samjax.Predictor.predict_batch` takes prompts
                of different lengths, with padding that does not.
            boxes: (B, 4), from `transform.apply_boxes`.
            mask_input: (B, 1, l, l), low-res logits of an earlier prediction.
            multimask_output: three masks or one.
            return_logits: logits instead of boolean masks.
            text: a description that is a part of every prompt, for weights with text;
                not in the reference.

        Returns:
            For every prompt, masks of the image's size, scores, and low-res logits.
        """
        sizes = self._sizes()
        low_res_masks, scores = self.model.decode(
            self._current_embedding(),
            point_coords,
            point_labels,
            boxes,
            mask_input,
            multimask_output=multimask_output,
            text=text,
        )
        original_size, input_size = sizes
        if return_logits:
            masks = self.model.postprocess_masks(
                low_res_masks, input_size, original_size
            )
        else:
            frame = make_frame(
                original_size, input_size, self.model.image_encoder.img_size
            )
            masks = self.model.threshold_masks(low_res_masks, frame)
        return masks, scores, low_res_masks

    def get_image_embedding(self) -> Float[np.ndarray, "1 c gh gw"]:
        """Returns the embedding of the current image, channels first."""
        self._sizes()
        features = self.features
        assert features is not None
        return features

    @property
    def features(self) -> np.ndarray | None:
        """The embedding of the current image, (1, C, gh, gw), or None."""
        if self._features is None and self._embedding is not None:
            features = np.asarray(self._embedding.features)
            self._features = np.ascontiguousarray(features.transpose(2, 0, 1)[None])
        return self._features

    @features.setter
    def features(self, features: ArrayLike | None) -> None:
        """Restores an embedding that was read from `features`."""
        self._features = None if features is None else np.asarray(features, np.float32)
        self._embedding = None

    @property
    def device(self) -> str:
        """Device of arguments and results; always "cpu"."""
        return self.model.device

    def _sizes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        if not self.is_image_set or not self.original_size or not self.input_size:
            raise RuntimeError(
                "An image must be set with .set_image(...) before mask prediction."
            )
        return self.original_size, self.input_size

    def _current_embedding(self) -> ImageEmbedding:
        if self._embedding is None:
            if self._features is None:
                raise RuntimeError("`features` is None, though is_image_set is True")
            frame = make_frame(*self._sizes(), self.model.image_encoder.img_size)
            features = np.ascontiguousarray(self._features[0].transpose(1, 2, 0))
            fingerprint = self.model.predictor.fingerprint
            embedding = ImageEmbedding(jax.device_put(features), frame, fingerprint)
            self._embedding = embedding
            return embedding
        return self._embedding
