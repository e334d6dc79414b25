"""Figures of an audit, over pairs of masks as the suite `audit` makes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool

from samjax.data.schema import Record
from samjax.evaluation.datasets.dataset import Skipped
from samjax.evaluation.datasets.mask_records import RecordSamples
from samjax.evaluation.intervals import bootstrap_means, interval
from samjax.evaluation.metrics.calibration import calibration
from samjax.evaluation.suites.audit import (
    CORRECTED,
    THRESHOLDS,
    AuditedSamples,
    Pairs,
)

PAPER = {"above_0.90": 0.94, "above_0.75": 0.97}
"""Shares of the paper's audit (SAM, section 5)."""

BANDS = {"small": (0, 32**2), "medium": (32**2, 96**2), "large": (96**2, 1 << 62)}
"""Areas in pixels of COCO's three sizes."""


class AuditedPair(NamedTuple):
    """An automatic mask and its correction.

    Attributes:
        image: Name of the image.
        id: Id of the automatic mask.
        iou: IoU of the two.
        area: Pixels of the automatic mask.
        predicted: Its predicted IoU; None if it has none.
        before: The automatic mask.
        after: The corrected one.
    """

    image: str
    id: Any
    iou: float
    area: int
    predicted: float | None
    before: Bool[np.ndarray, "h w"]
    after: Bool[np.ndarray, "h w"]


class Figures(NamedTuple):
    """Result of an audit.

    Attributes:
        content: The figures, as JSON types.
        worst: The pairs of the lowest IoU, the lowest first.
    """

    content: dict[str, Any]
    worst: list[AuditedPair]


def audit_records(
    before: RecordSamples,
    after: RecordSamples,
    *,
    pairs: Pairs = "iou",
    seed: int = 0,
    most: int = 50,
    name_of: Callable[[str], str] = str,
) -> Figures:
    """Compares automatic masks with corrected ones.

    Args:
        before: The automatic masks.
        after: The corrected masks of the same images.
        pairs: By `id`, or one to one by the highest `iou`.
        seed: Seed of the intervals.
        most: Number of the worst pairs to keep.
        name_of: Returns the name to show of an image of the records.

    Returns:
        `images`, `masks`, `iou`, `above_0.90` and `above_0.75`, each with its 95 %
        interval over images, the same `by_size`, `removed` and `added` masks as shares,
        `calibration` of the predicted IoU, `left_out`, and the worst pairs.

    Raises:
        ValueError: No image has both.
    """
    audited = AuditedSamples(samples=before, corrected=after, pairs=pairs)
    found: list[AuditedPair] = []
    images, removed, added, left_out = [], 0, 0, []
    for index in range(len(audited)):
        sample = audited[index]
        if isinstance(sample, Skipped):
            left_out.append(f"{name_of(sample.name)}: {sample.reason}")
            continue
        reasons = [part.reason for part in sample.skipped]
        removed += reasons.count("masks that were removed")
        added += reasons.count("masks that were added")
        own = _pairs_of(sample, before.records[index], audited)
        found += own
        images += [index] * len(own)
        # Only the worst keep their pixels: all masks of 500 images would not fit.
        found = _without_pixels(found, most)
    if not found:
        raise ValueError(
            f"got {len(left_out)} images without pairs of masks ({left_out[:1]}), "
            "expected the same images in both: name the folders in their order, "
            "automatic before corrected"
        )
    ious = np.array([pair.iou for pair in found])
    areas = np.array([pair.area for pair in found])
    image_of = np.array(images)
    content: dict[str, Any] = {
        "images": len(set(images)),
        "masks": len(found) + removed,
        "pairs": len(found),
        **_shares(ious, image_of, seed),
        "by_size": {
            name: _shares(ious[inside], image_of[inside], seed)
            | {"pairs": int(inside.sum())}
            for name, (low, high) in BANDS.items()
            if (inside := (areas >= low) & (areas < high)).any()
        },
        "removed": removed / (len(found) + removed),
        "added": added / (len(found) + added),
        "calibration": _calibration(found),
        "paper": PAPER,
        "left_out": left_out,
    }
    worst = [
        pair._replace(image=name_of(pair.image))
        for pair in sorted(found, key=lambda pair: (pair.iou, pair.image))[:most]
    ]
    content["worst"] = [
        {"image": pair.image, "id": pair.id, "iou": pair.iou} for pair in worst
    ]
    return Figures(content, worst)


def _pairs_of(
    sample: Any, record: Record, audited: AuditedSamples
) -> list[AuditedPair]:
    predicted = {
        annotation["id"]: annotation.get("predicted_iou")
        for annotation in record["annotations"]
    }
    after = _masks_by_id(audited, sample.name)
    return [
        AuditedPair(
            image=sample.name,
            id=of["annotation"],
            iou=iou,
            area=of["area"],
            predicted=predicted[of["annotation"]],
            before=mask,
            after=after[of[CORRECTED]],
        )
        for of, iou, mask in zip(
            sample.objects, sample.truth["ious"], sample.targets, strict=True
        )
    ]


def _masks_by_id(audited: AuditedSamples, name: str) -> Mapping[Any, np.ndarray]:
    index = audited.index_of_corrected(name)
    assert index is not None
    corrected = audited.corrected[index]
    assert not isinstance(corrected, Skipped)
    return {
        of["annotation"]: mask
        for of, mask in zip(corrected.objects, corrected.targets, strict=True)
    }


def _without_pixels(pairs: list[AuditedPair], most: int) -> list[AuditedPair]:
    """Drops the pixels of all pairs but the worst; order and number stay."""
    with_pixels = [i for i, pair in enumerate(pairs) if pair.before.size]
    if len(with_pixels) <= 2 * most:
        return pairs
    none = np.zeros((0, 0), bool)
    ranked = sorted(with_pixels, key=lambda i: (pairs[i].iou, pairs[i].image))
    kept = list(pairs)
    for index in ranked[most:]:
        kept[index] = kept[index]._replace(before=none, after=none)
    return kept


def _shares(ious: np.ndarray, images: np.ndarray, seed: int) -> dict[str, Any]:
    values = {"iou": ious} | {
        f"above_{cut:.2f}": (ious > cut).astype(float) for cut in THRESHOLDS
    }
    shares: dict[str, Any] = {}
    for name, of in values.items():
        shares[name] = float(of.mean())
        shares[f"{name}_interval"] = interval(bootstrap_means(of, images, seed=seed))
    return shares


def _calibration(pairs: Sequence[AuditedPair]) -> dict[str, Any] | None:
    known = [pair for pair in pairs if pair.predicted is not None]
    if not known:
        return None
    return calibration(
        np.array([pair.predicted for pair in known]),
        np.array([pair.iou for pair in known]),
    )
