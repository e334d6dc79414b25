"""Masks ranked by texts: CLIP's similarity of a mask's crop and a phrase."""

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
from samjax.text import ClipTokenizer


@dataclass(frozen=True, eq=False)
class MaskRanker:
    """CLIP with its parameters, which compares masks with texts.

        clip, clip_params = samjax.load("clip_vit_l14_336")
        ranker = MaskRanker(clip, clip_params)
        similar = ranker.compare(image, masks, ["a wheel", "a window"])
        best = similar.argmax(axis=0)  # the mask of each text

    Crops are those of the paper's training (SAM, appendix D.5), without its chance: the
    background stays, and the box is grown by `growth`.

    Attributes:
        model: The model.
        params: Its parameters.
        growth: Factor of a mask's box.
        is_zeroed: Whether pixels outside of a mask are black.
        is_masked: Whether the output token attends inside of the mask alone.
    """

    model: Clip
    params: Mapping[str, Any]
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
            ValueError: There is none, or it is no list.
        """
        if isinstance(texts, str) or not texts:
            raise ValueError(
                f"got {shown(texts)} for texts, expected a list of phrases"
            )
        tokenize = ClipTokenizer(context_length=self.model.config.context_length)
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
        """
        texts_embedded = self.embed_texts(texts)
        return self.embed_masks(image, masks) @ texts_embedded.T
