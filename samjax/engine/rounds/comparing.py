"""Comparison of two models by the IoU after one click, with an interval over images."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, UInt8

from samjax.evaluation.intervals import bootstrap_means, interval
from samjax.evaluation.policies.click_rule import next_click
from samjax.geometry.masks import mask_iou
from samjax.inference import ImageEmbedding, Predictor, Prompt
from samjax.inference.many_prompts import predict_many


def compare_models(
    old: Predictor,
    new: Predictor,
    images: Iterable[
        tuple[UInt8[np.ndarray, "h w 3"], Sequence[Bool[np.ndarray, "h w"]]]
    ],
) -> dict[str, Any]:
    """Compares two models on images with trusted masks.

    The new one is registered unless it is worse by more than the interval allows.

    Args:
        old: The model that assists now.
        new: The one that was trained.
        images: Images and their masks; those without a mask are left out.

    Returns:
        `gold_iou` of the old and `gold_iou_of_next` of the new model after a click on the
        centre of each object, `gold_difference_interval`, 95 % over images, `registered`,
        and `gold_images`.

    Raises:
        ValueError: No image has a mask.
    """
    pairs: list[tuple[list[float], list[float]]] = []
    for pixels, targets in images:
        if not len(targets):
            continue
        embedding = old.embed(pixels)
        # With the image encoder frozen both models take one embedding.
        is_shared = old.fingerprint == new.fingerprint
        other = embedding if is_shared else new.embed(pixels)
        pairs.append(
            (
                one_click_ious(old, embedding, targets),
                one_click_ious(new, other, targets),
            )
        )
    if not pairs:
        raise ValueError(
            "got no image with masks to compare models on, expected at least one: "
            "annotate more, or name gold images"
        )
    before, after = (np.concatenate([pair[k] for pair in pairs]) for k in (0, 1))
    image_of = np.repeat(np.arange(len(pairs)), [len(pair[0]) for pair in pairs])
    bounds = interval(bootstrap_means(after - before, image_of))
    return {
        "gold_images": len(pairs),
        "gold_iou": float(before.mean()),
        "gold_iou_of_next": float(after.mean()),
        "gold_difference_interval": bounds,
        "registered": bounds[1] >= 0.0,
    }


def one_click_ious(
    predictor: Predictor,
    embedding: ImageEmbedding,
    targets: Sequence[Bool[np.ndarray, "h w"]],
) -> list[float]:
    """Returns the IoU of the best-scored mask after a click on each object's centre.

    Args:
        predictor: The model.
        embedding: The embedding of the image.
        targets: The objects.
    """
    prompts = []
    for target in targets:
        click = next_click(target)
        assert click is not None
        prompts.append(Prompt(points=[(click.x, click.y)], labels=[1]))
    return [
        float(mask_iou(masks.select(slice(1, None)).best.masks, target[None])[0, 0])
        for masks, target in zip(
            predict_many(predictor, embedding, prompts), targets, strict=True
        )
    ]


def held_out_images(images: set[str], fraction: float) -> set[str]:
    """Returns the images to compare on: by the hash of their names, one at least, not all.

    Args:
        images: Names of images.
        fraction: Fraction of them.
    """
    ranked = sorted(images, key=_hash)
    count = sum(_hash(name) < fraction for name in ranked)
    return set(ranked[: min(max(count, 1), len(ranked) - 1)])


def _hash(name: str) -> float:
    text = f"held out\n{name}".encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(text, digest_size=7).digest()
    return int.from_bytes(digest, "big") / 2**56
