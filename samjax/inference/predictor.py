"""Predictor: images to embeddings and prompts to masks, in plain numpy.

Compilation, padding to buckets and device placement are hidden here. Two programs are
compiled: the encoder (normalization included), once per batch size, and the decoder,
once per bucket of `samjax.inference.batching`. Neither depends on the size of an image.
They are cached for the whole process and shared by all predictors with equal models,
since parameters are arguments of the programs.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Real

from samjax.devices import find_devices
from samjax.geometry.frame import Frame, normalize
from samjax.inference.batching import pack, plan_calls
from samjax.inference.embedding import ImageEmbedding, fingerprint
from samjax.inference.images import ImageSource, read_image
from samjax.inference.masks import Masks
from samjax.inference.prompt_inputs import to_inputs
from samjax.models.prompt_encoder import PromptInputs
from samjax.models.sam import MaskPrediction, Sam
from samjax.prompts import Prompt


@dataclasses.dataclass(frozen=True, eq=False)
class Predictor:
    """A model with its parameters; immutable, and safe to share between threads.

    Example:
        model, params = samjax.load("small")
        predictor = samjax.Predictor(model, params)
        embedding = predictor.embed(image)
        masks = predictor.predict(embedding, samjax.Prompt(points=[[500, 375]]))

    Attributes:
        model: the model.
        params: its parameters, a tree of all its parts (`Sam.parts`).
            Arrays of the host are moved to the default device once; arrays on a device
            stay where they are.
    """

    model: Sam
    params: Mapping[str, Any]

    def __post_init__(self):
        parts = self.model.parts
        missing = [part for part in parts if part not in self.params]
        if missing:
            raise ValueError(
                f"got params with the keys {sorted(self.params)}, expected {parts}: "
                "pass what samjax.load returned, or the inside of {'params': ...}"
            )
        find_devices()
        object.__setattr__(self, "params", jax.device_put(dict(self.params)))

    @functools.cached_property
    def fingerprint(self) -> str:
        """Fingerprint of the image encoder, which embeddings carry. Computed once."""
        return fingerprint(self.model.config, self.params)

    @property
    def low_res_size(self) -> int:
        """Side of the model's low-res masks; 256 for all released models."""
        return 4 * self.model.config.grid_size

    def embed(self, image: ImageSource) -> ImageEmbedding:
        """Embeds one image. One embedding serves any number of prompts.

        Args:
            image: RGB uint8 (h, w, 3), or anything `read_image` takes: grey, RGBA, 16
                bits, a Pillow image, the path of a file.

        Raises:
            ValueError: the image cannot be used; see `read_image`.
        """
        return self.embed_batch([image])[0]

    def embed_batch(
        self, images: Iterable[ImageSource], *, batch_size: int | None = None
    ) -> list[ImageEmbedding]:
        """Embeds images of any sizes.

        Args:
            images: as for `embed`.
            batch_size: images that are encoded together. The default is 1 on a CPU,
                where larger batches take memory and are no faster, and 8 elsewhere.
        """
        resized = (self._resize(image) for image in images)
        return self.embed_resized(resized, batch_size=batch_size)

    def embed_resized(
        self,
        images: Iterable[tuple[Real[np.ndarray, "_ _ 3"], Frame]],
        *,
        batch_size: int | None = None,
    ) -> list[ImageEmbedding]:
        """Embeds images that are already resized, by a resampling of the caller's.

        Args:
            images: every image with its frame, whose `resized_size` is the image's.
                Pixels are on the 0..255 scale and may be floats.
            batch_size: as for `embed_batch`.

        Raises:
            ValueError: `batch_size` is below 1.
        """
        if batch_size is None:
            batch_size = 1 if jax.default_backend() == "cpu" else 8
        if batch_size < 1:
            raise ValueError(f"got {batch_size=}, expected at least 1")
        embeddings, waiting = [], []
        for resized, frame in images:
            waiting.append((frame, frame.pad(resized)))
            if len(waiting) == batch_size:
                embeddings += self._encode(waiting)
                waiting = []
        # The rest in powers of two: no padding images to encode, few shapes to compile.
        while waiting:
            size = 1 << (len(waiting).bit_length() - 1)
            embeddings += self._encode(waiting[:size])
            waiting = waiting[size:]
        return embeddings

    def predict(
        self,
        embedding: ImageEmbedding,
        prompt: Prompt,
        *,
        multimask: bool | None = None,
    ) -> Masks:
        """Predicts the masks of one prompt on one image.

        Args:
            embedding: the image's, from `embed`.
            prompt: the object to segment.
            multimask: three masks (True) or one (False), the reference's
                `multimask_output`. None is the paper's rule: three for a single
                ambiguous prompt (one point, one box or one mask alone, or an empty
                prompt), one otherwise.

        Raises:
            ValueError: the embedding is of other weights, or the prompt does not fit
                the image or the model.
        """
        return self.predict_batch([embedding], [prompt], multimask=multimask)[0]

    def predict_batch(
        self,
        embeddings: Sequence[ImageEmbedding],
        prompts: Sequence[Prompt | Sequence[Prompt]],
        *,
        multimask: bool | None = None,
    ) -> list[Any]:
        """Predicts the masks of any number of prompts on any number of images.

        The decoder runs in few calls; the results are those of one `predict` call per
        prompt. None for `multimask` is decided for each prompt on its own.

        Args:
            embeddings: one for every image.
            prompts: for every image a prompt, or a list of prompts (one per object).
            multimask: as for `predict`.

        Returns:
            For every image its `Masks`, or a list of `Masks` where a list was given.

        Raises:
            ValueError: as for `predict`, or the numbers of entries differ.
        """
        if len(embeddings) != len(prompts):
            raise ValueError(
                f"got {len(embeddings)} embeddings and {len(prompts)} entries of "
                "prompts, expected one entry (a Prompt or a list of them) per embedding"
            )
        for embedding in embeddings:
            self.check_embedding(embedding)
        lists = [_prompts_of(entry) for entry in prompts]
        inputs = [
            [self._to_inputs(prompt, embedding.frame) for prompt in in_image]
            for embedding, in_image in zip(embeddings, lists, strict=True)
        ]
        decoded = self.decode_prompts(embeddings, inputs)
        all_masks = []
        for embedding, entry, of_image, predictions in zip(
            embeddings, prompts, lists, decoded, strict=True
        ):
            masks = [
                _choose(prediction, embedding.frame, prompt.is_ambiguous, multimask)
                for prompt, prediction in zip(of_image, predictions, strict=True)
            ]
            all_masks.append(masks[0] if isinstance(entry, Prompt) else masks)
        return all_masks

    def predict_all(
        self, embedding: ImageEmbedding, prompts: Prompt | Sequence[Prompt]
    ) -> Any:
        """Predicts all masks of each prompt on one image, in one pass.

        Args:
            embedding: what `embed` returned for the image.
            prompts: a prompt, or a list of prompts (one per object).

        Returns:
            `Masks` of length 4, or a list of them where a list was given: first the
            single mask of an unambiguous prompt, `multimask=False`, then the three of an
            ambiguous one, `multimask=True`.

        Raises:
            ValueError: as for `predict`.
        """
        self.check_embedding(embedding)
        inputs = [
            self._to_inputs(prompt, embedding.frame) for prompt in _prompts_of(prompts)
        ]
        (decoded,) = self.decode_prompts([embedding], [inputs])
        masks = [_masks(prediction, embedding.frame) for prediction in decoded]
        return masks[0] if isinstance(prompts, Prompt) else masks

    def decode_prompts(
        self,
        embeddings: Sequence[ImageEmbedding],
        prompts: Sequence[Sequence[PromptInputs]],
    ) -> list[list[MaskPrediction]]:
        """Decodes prompts that are already in the model's frame.

        Args:
            embeddings: one for every image.
            prompts: for every image, the inputs of each prompt set, from
                `samjax.inference.prompt_inputs.to_inputs`.

        Returns:
            For every image and prompt set the low-res logits "m lh lw" and the predicted
            IoUs "m" of *all* masks, arrays of the host: the single mask first, then the
            three for ambiguous prompts.

        Raises:
            ValueError: an embedding is of other weights, or the model predicts numbers
                that are not finite.
        """
        for embedding in embeddings:
            self.check_embedding(embedding)
        calls = plan_calls(prompts)
        # All calls are dispatched to the device before the first result is awaited.
        predictions = []
        for call in calls:
            images = call.images + call.images[:1] * (call.shape[0] - len(call.images))
            predictions.append(
                _decode(
                    self.params,
                    tuple(embeddings[image].features for image in images),
                    pack(call, prompts),
                    model=self.model,
                )
            )
        results: list[list[Any]] = [[None] * len(of_image) for of_image in prompts]
        for call, prediction in zip(calls, predictions, strict=True):
            logits, scores = (np.asarray(array) for array in prediction)
            check_scores(scores)
            for row, image in enumerate(call.images):
                for column, index in enumerate(call.prompts[row]):
                    # Copies: a view would keep the arrays of the whole call alive.
                    results[image][index] = MaskPrediction(
                        logits[row, column].copy(), scores[row, column].copy()
                    )
        return results

    def _resize(self, image: ImageSource) -> tuple[np.ndarray, Frame]:
        pixels = read_image(image)
        frame = Frame.fit(pixels.shape[:2], self.model.config.image_size)
        return frame.resize_image(pixels), frame

    def _encode(self, images: list[tuple[Frame, np.ndarray]]) -> list[ImageEmbedding]:
        features = _encode(
            self.params,
            np.stack([pixels for _, pixels in images]),
            np.array([frame.resized_size for frame, _ in images], np.int32),
            model=self.model,
        )
        return [
            ImageEmbedding(of_image, frame, self.fingerprint)
            for of_image, (frame, _) in zip(features, images, strict=True)
        ]

    def _to_inputs(self, prompt: Prompt, frame: Frame) -> PromptInputs:
        if prompt.text is not None:
            raise ValueError(
                f"got a prompt with text ({prompt.text!r}), but this model has no text "
                "tower: use points, a box or a mask, or weights trained with text"
            )
        return to_inputs(prompt, frame, self.low_res_size)

    def check_embedding(self, embedding: ImageEmbedding) -> None:
        """Refuses an embedding of another image encoder.

        Raises:
            ValueError: it is of other weights, or is no embedding.
        """
        if not isinstance(embedding, ImageEmbedding):
            raise ValueError(  # noqa: TRY004
                f"got {_shown(embedding)} for an embedding, expected an ImageEmbedding: "
                "embed the image first, predictor.predict(predictor.embed(image), prompt)"
            )
        if embedding.fingerprint != self.fingerprint:
            raise ValueError(
                "got an embedding of other weights (fingerprint "
                f"{embedding.fingerprint[:12]}), expected those of this predictor "
                f"({self.fingerprint[:12]}): embed the image again with this predictor"
            )


def _prompts_of(entry: Prompt | Sequence[Prompt]) -> list[Prompt]:
    """Returns the prompts on one image as a list."""
    prompts = [entry] if isinstance(entry, Prompt) else entry
    if isinstance(prompts, Sequence) and all(isinstance(p, Prompt) for p in prompts):
        return list(prompts)
    raise ValueError(
        f"got {_shown(entry)} for a prompt, expected a samjax.Prompt (or, for "
        "predict_batch, a list of them): samjax.Prompt(points=[[x, y]]), or box=, mask="
    )


def _shown(value: Any) -> str:
    """Describes a value for an error message by its type and shape."""
    shape = getattr(value, "shape", None)
    of_shape = "" if shape is None else f" of shape {tuple(shape)}"
    return f"a {type(value).__name__}{of_shape}"


def check_scores(scores: Float[np.ndarray, ...]) -> None:
    """Refuses predictions that are not finite, before masks are made of them.

    Args:
        scores: Predicted IoUs, of any shape.

    Raises:
        ValueError: a score is NaN or infinite.
    """
    if not np.isfinite(scores).all():
        raise ValueError(
            "got scores from the model that are not finite (NaN), expected numbers: the "
            "weights are of a run that diverged, or the model overflows in bfloat16; use "
            "other weights, or float32"
        )


def _choose(
    prediction: MaskPrediction,
    frame: Frame,
    is_ambiguous: bool,
    multimask: bool | None,
) -> Masks:
    """Returns the three masks of the multimask output, or the single mask."""
    three = is_ambiguous if multimask is None else multimask
    return _masks(prediction, frame).select(slice(1, None) if three else slice(0, 1))


def _masks(prediction: MaskPrediction, frame: Frame) -> Masks:
    logits, scores = (np.asarray(array) for array in prediction)
    return Masks(logits, scores, frame)


@functools.partial(jax.jit, static_argnames="model")
def _encode(
    params: Mapping[str, Any],
    pixels: Real[Array, "b s s 3"],
    valid_sizes: Int[Array, "b 2"],
    *,
    model: Sam,
) -> tuple[Float[Array, "gh gw c"], ...]:
    """Returns one embedding per image.

    Separate arrays, since slicing a batch outside would compile a program per index.
    """
    features = model.apply(
        {"params": params}, normalize(pixels, valid_sizes), method="encode_image"
    )
    return tuple(jnp.asarray(features, jnp.float32))


@functools.partial(jax.jit, static_argnames="model")
def _decode(
    params: Mapping[str, Any],
    features: tuple[Float[Array, "gh gw c"], ...],
    prompts: PromptInputs,
    *,
    model: Sam,
) -> MaskPrediction:
    variables, images = {"params": params}, jnp.stack(features)
    return cast(
        MaskPrediction, model.apply(variables, images, prompts, method="decode")
    )
