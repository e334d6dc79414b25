"""Masks ranked by texts: similarity of a mask's crop and a phrase, by CLIP or SigLIP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, UInt8

from samjax.data.mask_crops import CropConfig, crop_mask
from samjax.inference.checks import shown
from samjax.models.clip import Clip
from samjax.models.clip.crops import embed_crops, embed_phrases
from samjax.models.siglip import Siglip
from samjax.text import ClipTokenizer, SiglipTokenizer


@dataclass(frozen=True, eq=False)
class MaskRanker:
    """CLIP or SigLIP with its parameters, which compares masks with texts.

        clip, clip_params = samjax.load("clip_vit_l14_336")
        ranker = MaskRanker(clip, clip_params)
        similar = ranker.compare(image, masks, ["a wheel", "a window"])
        best = similar.argmax(axis=0)  # the mask of each text

    Crops are those of the paper's training (SAM, appendix D.5), without its chance: the
    background stays, and the box is grown by `growth`.

    Attributes:
        model: The model.
        params: Its parameters.
        tokenizer: The tokenizer of the model; CLIP's if it is None. SigLIP's comes with
            its weights: `samjax.text.SiglipTokenizer.read(folder)`.
        growth: Factor of a mask's box.
        is_zeroed: Whether pixels outside of a mask are black.
        is_masked: Whether the output token attends inside of the mask alone.
    """

    model: Clip | Siglip
    params: Mapping[str, Any]
    tokenizer: ClipTokenizer | SiglipTokenizer | None = None
    growth: float = 1.5
    is_zeroed: bool = False
    is_masked: bool = True

    def embed_masks(
        self, image: UInt8[np.ndarray, "h w 3"], masks: Bool[np.ndarray, "k h w"]
    ) -> Float[np.ndarray, "k e"]:
        """Embeds the crop of each mask.

        Args:
            image: RGB.
            masks: Masks of its size, none of them empty.

        Returns:
            Vectors of length 1.

        Raises:
            ValueError: A mask is empty or of another size.
        """
        config = self.model.config
        crops = CropConfig(side=config.image_size, patch=config.patch_size)
        vectors = []
        for mask in masks:
            crop = crop_mask(image, mask, self.growth, self.is_zeroed, crops)
            inside = crop.inside if self.is_masked else np.ones_like(crop.inside)
            # One at a time: a batch is no faster on a CPU, and one program serves all.
            vector = embed_crops(
                self.params, crop.pixels[None], inside[None], model=self.model
            )
            vectors.append(np.asarray(vector)[0])
        return np.array(vectors, np.float32).reshape(-1, config.embed_dim)

    def embed_texts(self, texts: Sequence[str]) -> Float[np.ndarray, "n e"]:
        """Embeds texts.

        Args:
            texts: Phrases.

        Returns:
            Vectors of length 1.

        Raises:
            ValueError: There is none, it is no list, or the tokenizer does not fit the
                model.
            TypeError: The tokenizer is of another kind of model.
        """
        if isinstance(texts, str) or not texts:
            raise ValueError(
                f"got {shown(texts)} for texts, expected a list of phrases"
            )
        tokenize = self._tokenizer()
        return np.concatenate(
            [
                np.asarray(embed_phrases(self.params, tokenize(text), model=self.model))
                for text in texts
            ]
        )

    def compare(
        self,
        image: UInt8[np.ndarray, "h w 3"],
        masks: Bool[np.ndarray, "k h w"],
        texts: Sequence[str],
    ) -> Float[np.ndarray, "k n"]:
        """Compares every mask with every text.

        Args:
            image: RGB.
            masks: Masks of its size, none of them empty.
            texts: Phrases.

        Returns:
            Cosine similarities. They order masks for one text; those of two texts have
            no common scale.

        Raises:
            ValueError: As for `embed_masks` and `embed_texts`.
            TypeError: As for `embed_texts`.
        """
        texts_embedded = self.embed_texts(texts)
        return self.embed_masks(image, masks) @ texts_embedded.T

    def _tokenizer(self) -> ClipTokenizer | SiglipTokenizer:
        """Returns the tokenizer, or refuses it if it is not that of the model."""
        config, tokenizer = self.model.config, self.tokenizer
        if isinstance(self.model, Clip) and tokenizer is None:
            return ClipTokenizer(context_length=config.context_length)
        kind = ClipTokenizer if isinstance(self.model, Clip) else SiglipTokenizer
        if not isinstance(tokenizer, kind):
            raise TypeError(
                f"got the tokenizer {type(tokenizer).__name__} for a "
                f"{type(self.model).__name__}, expected a {kind.__name__}: that of SigLIP "
                "is SiglipTokenizer.read(FOLDER), with the folder of its weights"
            )
        if tokenizer.context_length != config.context_length:
            raise ValueError(
                f"got a tokenizer of {tokenizer.context_length} ids a row, expected "
                f"context_length={config.context_length}, as the model reads them"
            )
        if (
            isinstance(tokenizer, SiglipTokenizer)
            and tokenizer.size > config.vocab_size
        ):
            raise ValueError(
                f"got a tokenizer of {tokenizer.size} tokens for a model of "
                f"{config.vocab_size}: name the folder of the model's weights"
            )
        return tokenizer
