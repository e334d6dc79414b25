"""Statistics of the masks of a dataset (SAM, section 5 and figures 5 and 6).

Masks per image; relative size, the root of the mask's share of the image; concavity, one
less the mask's share of its convex hull; and the density of centres, in shares of the
image's sides. Concavity depends on size, so it is taken of as many masks of each bin of
relative size. Needs the `eval` extra.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from samjax.evaluation.datasets.dataset import Sample
from samjax.evaluation.metrics.metric import (
    Chart,
    ImageRecords,
    Metric,
    Summary,
    objects_of,
)
from samjax.evaluation.plots import PLOTS, density_map, standalone
from samjax.evaluation.policies.policy import Round
from samjax.report.histograms import Tally, histogram

Centre = Literal["centroid", "box"]
"""The centre of a mask: the mean of its pixels, or the centre of its box."""

SIZE_EDGES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 1.0)
"""Edges of the bins of relative size that concavity is sampled from."""

LEAST_IN_BIN = 10
"""Masks below which a bin of sizes is left out of the sample."""

CELLS = 32
"""Cells of the density of centres along each side."""

# Masks per image by the bins of the paper's figure.
_PER_IMAGE = ((1, 10), (11, 50), (51, 100), (101, 200), (201, None))

PAPER_MASKS_PER_IMAGE = {
    "SA-1B": 1129 / 11.185,
    "LVIS v1": 1.5 / 0.120,
    "COCO": 0.9 / 0.123,
    "ADE20K": 0.7 / 0.028,
    "Open Images": 2.7,
}
"""Masks over images of the legend of the paper's figure 6; its curves have no numbers."""


@dataclass(frozen=True, kw_only=True)
class MaskStatistics(Metric):
    """The statistics, from annotations alone.

    Attributes:
        centre: The centre of a mask.
        seed: Seed of the sample for concavity.
    """

    centre: Centre = "centroid"
    seed: int = 0

    def observe(self, round: Round, sample: Sample, records: ImageRecords) -> None:
        """Records size, concavity and centre of every mask."""
        height, width = sample.targets.shape[1:]
        # Images without a mask count too.
        records.values["masks"] = len(sample.targets)
        for record, mask in zip(records.objects, sample.targets, strict=True):
            area = int(np.count_nonzero(mask))
            if not area:
                continue
            x, y = centre_of(mask, self.centre)
            record["relative_size"] = float(np.sqrt(area / (height * width)))
            record["concavity"] = 1 - area / hull_area(mask)
            record["centre"] = [float(x / width), float(y / height)]

    def summarize(self, images: Sequence[ImageRecords]) -> Summary:
        """Computes means, and tables for the plots."""
        masks = np.array([image.values["masks"] for image in images])
        records = [record for record in objects_of(images) if "concavity" in record]
        sizes = np.array([record["relative_size"] for record in records])
        concavities = np.array([record["concavity"] for record in records])
        chosen = stratified(sizes, SIZE_EDGES, LEAST_IN_BIN, self.seed)
        sampled = concavities[chosen] if len(chosen) else concavities
        centres = np.array([record["centre"] for record in records]).reshape(-1, 2)
        return Summary(
            scores={
                "masks_per_image": float(masks.mean()),
                "relative_size": float(sizes.mean()) if sizes.size else 0.0,
                "concavity": float(sampled.mean()) if sampled.size else 0.0,
            },
            details={
                "masks_per_image_bins": _bins(masks),
                "relative_size_bins": _counts(sizes, np.linspace(0, 1, 21)),
                "concavity_bins": _counts(sampled, np.linspace(0, 1, 21)),
                "concavity_sample": {
                    "masks": len(sampled),
                    "per_bin": len(chosen) // max(1, _bins_used(sizes, chosen)),
                    "bins": _bins_used(sizes, chosen),
                    "is_stratified": bool(len(chosen)),
                },
                "centre_density": density(centres, CELLS).tolist(),
                PLOTS: self.plots(images),
            },
        )

    def notes(self, details: Mapping[str, Any]) -> list[str]:
        """Returns the bins of masks per image, and how concavity was sampled."""
        bins = details["masks_per_image_bins"]
        sample = details["concavity_sample"]
        how = (
            f"of {sample['per_bin']} masks in each of {sample['bins']} bins of size"
            if sample["is_stratified"]
            else f"of all {sample['masks']} masks: too few in any bin of size"
        )
        shares = ", ".join(f"{share:.0%} {name}" for name, share in bins.items())
        return [f"masks per image: {shares}", f"concavity {how}"]

    def pooled_notes(self, details: Mapping[str, Any]) -> list[str]:
        """Returns the paper's numbers of masks per image."""
        figures = ", ".join(
            f"{name} {mean:.1f}" for name, mean in PAPER_MASKS_PER_IMAGE.items()
        )
        return [f"masks per image in the paper: {figures}"]

    def charts(self, images: Sequence[ImageRecords]) -> Sequence[Chart]:
        """Returns the distributions of sizes and concavities for the report."""
        return [
            Chart(
                heading=label.capitalize(),
                note=f"{len(values)} masks",
                across=label,
                values=values.tolist(),
                counted=("mask", "masks"),
            )
            for label, values in self._shares(images).values()
            if len(values)
        ]

    def plots(self, images: Sequence[ImageRecords]) -> Mapping[str, str]:
        """Returns SVG files of the four distributions of a dataset.

        Args:
            images: Its records.
        """
        masks = Tally(whole_numbers=True)
        masks.add(np.array([image.values["masks"] for image in images]))
        plots = {
            "masks_per_image": histogram(
                masks, label="masks per image", counted=("image", "images")
            )
        }
        for name, (label, values) in self._shares(images).items():
            tally = Tally()
            tally.add(values)
            plots[name] = histogram(tally, label=label, counted=("mask", "masks"))
        records = [record for record in objects_of(images) if "concavity" in record]
        centres = np.array([record["centre"] for record in records]).reshape(-1, 2)
        plots["centres"] = density_map(density(centres, CELLS), "density of centres")
        return {name: standalone(svg) for name, svg in plots.items()}

    def _shares(
        self, images: Sequence[ImageRecords]
    ) -> Mapping[str, tuple[str, Float[np.ndarray, " _"]]]:
        """Returns the labels and values of the distributions of shares, by name."""
        records = [record for record in objects_of(images) if "concavity" in record]
        sizes = np.array([record["relative_size"] for record in records])
        concavities = np.array([record["concavity"] for record in records])
        chosen = stratified(sizes, SIZE_EDGES, LEAST_IN_BIN, self.seed)
        return {
            "relative_size": ("relative mask size", sizes),
            "concavity": (
                "concavity",
                concavities[chosen] if len(chosen) else concavities,
            ),
        }


def hull_area(mask: Bool[np.ndarray, "h w"]) -> int:
    """Returns the number of pixels of the filled convex hull of a mask.

    The area of the polygon through the centres of pixels would be too small.

    Raises:
        ImportError: OpenCV is missing.
    """
    import cv2

    rows, columns = np.nonzero(mask)
    points = np.stack([columns, rows], axis=1).astype(np.int32)
    hull = cv2.convexHull(points - points.min(axis=0))
    right, bottom = hull.reshape(-1, 2).max(axis=0)
    filled = np.zeros((int(bottom) + 1, int(right) + 1), np.uint8)
    cv2.fillConvexPoly(filled, hull, (1,))
    return int(np.count_nonzero(filled))


def centre_of(mask: Bool[np.ndarray, "h w"], kind: Centre) -> tuple[float, float]:
    """Returns the centre (x, y) of a mask in pixels, pixel centres at +0.5.

    Args:
        mask: The mask, which has a pixel.
        kind: Which centre.
    """
    rows, columns = np.nonzero(mask)
    if kind == "box":
        return (columns.min() + columns.max() + 1) / 2, (
            rows.min() + rows.max() + 1
        ) / 2
    return float(columns.mean() + 0.5), float(rows.mean() + 0.5)


def stratified(
    sizes: Float[np.ndarray, " n"], edges: Sequence[float], least: int, seed: int
) -> Int[np.ndarray, " m"]:
    """Draws as many masks of each bin of sizes, so that sets of other sizes compare.

    Args:
        sizes: Size of each mask.
        edges: Edges of the bins.
        least: Number of masks below which a bin is left out.
        seed: Seed of the draw.

    Returns:
        Indices of the masks drawn, in order; none if every bin has too few.
    """
    bins = _bin_of(sizes, edges)
    members = [np.flatnonzero(bins == number) for number in range(len(edges) - 1)]
    members = [own for own in members if len(own) >= least]
    if not members:
        return np.zeros(0, int)
    count = min(map(len, members))
    rng = np.random.default_rng(seed)
    drawn = [rng.choice(own, count, replace=False) for own in members]
    return np.sort(np.concatenate(drawn))


def density(centres: Float[np.ndarray, "n 2"], cells: int) -> Float[np.ndarray, "c c"]:
    """Returns the share of centres (x, y) in each cell, row by row from the top.

    Args:
        centres: Centres in shares of the image's sides.
        cells: Cells along each side.
    """
    counts, _, _ = np.histogram2d(
        centres[:, 1], centres[:, 0], bins=cells, range=[[0, 1], [0, 1]]
    )
    return counts / max(1, len(centres))


def _bin_of(sizes: Float[np.ndarray, " n"], edges: Sequence[float]) -> np.ndarray:
    return np.clip(np.digitize(sizes, edges) - 1, 0, len(edges) - 2)


def _bins_used(sizes: Float[np.ndarray, " n"], chosen: Int[np.ndarray, " m"]) -> int:
    return len(np.unique(_bin_of(sizes[chosen], SIZE_EDGES)))


def _counts(values: np.ndarray, edges: np.ndarray) -> dict[str, Any]:
    counts, _ = np.histogram(values, edges)
    return {"edges": edges.round(6).tolist(), "counts": counts.tolist()}


def _bins(masks: Int[np.ndarray, " n"]) -> dict[str, float]:
    """Returns the shares of images by the paper's bins of masks per image."""
    shares: dict[str, float] = {}
    for low, high in ((0, 0), *_PER_IMAGE):
        if high is None:
            name = f"above {low - 1}"
            inside = masks >= low
        else:
            name = "none" if high == 0 else f"{low} to {high}"
            inside = (masks >= low) & (masks <= high)
        shares[name] = float(inside.mean())
    return shares
