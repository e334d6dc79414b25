"""Summary of an image for the report."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import PurePosixPath

import numpy as np
from jaxtyping import Int, Real, UInt8

from samjax.data.schema import Record


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ImageSummary:
    """Summary of an image and its masks, one entry of the arrays per mask.

    Attributes:
        name: Display name of the image.
        size: (height, width) of the image in pixels.
        areas: Areas in pixels of the image.
        predicted_iou: Predicted IoUs.
        stability: Stability scores.
        depths: Nesting depths: 0 for a whole, 1 for a part, 2 for a subpart; None if
            unknown.
        thumbnail: The picture to show, RGB of any size; it is scaled down.
        links: Paths of files about the image by their label, as {"JSON":
            "photos/1.json"}; with slashes, relative to the page's folder and inside it.
        shown: Whether the page shows a card of the image, or only counts it.

    Raises:
        ValueError: A size, array, picture or link is invalid.
    """

    name: str
    size: tuple[int, int]
    areas: Real[np.ndarray, " areas"]
    predicted_iou: Real[np.ndarray, " ious"]
    stability: Real[np.ndarray, " scores"]
    depths: Int[np.ndarray, " depths"] | None = None
    thumbnail: UInt8[np.ndarray, "h w 3"] | None = None
    links: Mapping[str, str] = dataclasses.field(default_factory=dict)
    shown: bool = True

    @classmethod
    def of_record(
        cls,
        record: Record,
        *,
        name: str | None = None,
        depths: Int[np.ndarray, " depths"] | None = None,
        thumbnail: UInt8[np.ndarray, "h w 3"] | None = None,
        links: Mapping[str, str] | None = None,
        shown: bool = True,
    ) -> ImageSummary:
        """Summarizes a record; the name is its `file_name` by default.

        Raises:
            ValueError: As for the class.
        """
        image, annotations = record["image"], record["annotations"]
        keys = ("area", "predicted_iou", "stability_score")
        rows = [[annotation[key] for key in keys] for annotation in annotations]
        try:
            columns = np.array(rows, np.float64).reshape(-1, len(keys)).T
        except OverflowError as error:
            raise ValueError(
                f"record of {image['file_name']!r}: a number is too large for a mask"
            ) from error
        areas, predicted_iou, stability = columns
        return cls(
            name=image["file_name"] if name is None else name,
            size=(image["height"], image["width"]),
            areas=areas,
            predicted_iou=predicted_iou,
            stability=stability,
            depths=depths,
            thumbnail=thumbnail,
            links=links or {},
            shown=shown,
        )

    def __post_init__(self):
        problems = []
        if not 0 < min(self.size) <= max(self.size) < 2**31:
            raise ValueError(
                f"summary of {self.name!r}: size {self.size}: expected height and width "
                "from 1 to 2**31 - 1"
            )
        for field in ("areas", "predicted_iou", "stability", "depths"):
            values = getattr(self, field)
            if values is None:
                continue
            if values.shape != (len(self.areas),):
                problems.append(
                    f"{field} of shape {values.shape}: expected ({len(self.areas)},), "
                    "one for each mask"
                )
            elif not np.isfinite(values).all():
                problems.append(f"{field}: expected finite numbers")
        if len(self.areas) and not 0 <= self.areas.min() <= self.areas.max() <= (
            self.size[0] * self.size[1]
        ):
            problems.append(
                f"areas from {self.areas.min()} to {self.areas.max()}: expected pixels "
                f"of an image of {self.size}"
            )
        if self.depths is not None and (self.depths < 0).any():
            problems.append("depths: expected 0 for a whole, 1 for a part and so on")
        picture = self.thumbnail
        if picture is not None and not (
            picture.dtype == np.uint8
            and picture.ndim == 3
            and picture.shape[2] == 3
            and picture.size
        ):
            problems.append(
                f"thumbnail of {picture.dtype}{picture.shape}: expected uint8 (h, w, 3) "
                "with a pixel at least"
            )
        for path in self.links.values():
            parts = PurePosixPath(path).parts
            if not parts or parts[0].startswith("/") or ".." in parts:
                problems.append(
                    f"link {path!r}: expected a path relative to the page's folder, "
                    "and in it"
                )
        if problems:
            raise ValueError(f"summary of {self.name!r}: " + "; ".join(problems))
