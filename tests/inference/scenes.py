"""Images of known objects, which a stand-in for the model finds exactly."""

import numpy as np

from samjax.geometry.boxes import boxes_from_masks
from samjax.geometry.masks import decode_rle, encode_rle, mask_to_counts
from samjax.inference.automatic.records import Proposal
from samjax.inference.automatic.tiles import generate_masks_in_tiles


class Scene:
    """A black image, and what `find` finds in a window (left, top, right, bottom)."""

    def __init__(self, size, find):
        self.size, self.find = size, find
        self.windows, self.configs = [], []

    def read(self, top: int, left: int, bottom: int, right: int) -> np.ndarray:
        """Records the window."""
        self.windows.append((left, top, right, bottom))
        return np.zeros((bottom - top, right - left, 3), np.uint8)

    def propose(self, predictor, pixels, config) -> list[Proposal]:
        """Stands in for `samjax.inference.automatic.generate.propose`."""
        self.configs.append(config)
        return self.find(self.windows[-1])

    def records(self, predictor, config=None, **options):
        """Makes the records of the scene, tile by tile."""
        options["propose"] = self.propose
        return generate_masks_in_tiles(predictor, self, config, **options)

    def masks(self, predictor, config=None, **options) -> list[np.ndarray]:
        """The masks of the records."""
        return [mask_of(r) for r in self.records(predictor, config, **options)]


def mask_of(record) -> np.ndarray:
    """The mask of a record, whose other fields must fit it."""
    mask = decode_rle(record["segmentation"])
    assert encode_rle(mask) == record["segmentation"]
    assert record["area"] == mask.sum()
    [[left, top, right, bottom]] = boxes_from_masks(mask[None]).tolist()
    assert record["bbox"] == [left, top, right - left, bottom - top]
    return mask


def scene_of(objects) -> Scene:
    """A scene of objects that every tile shows unchanged."""
    objects = np.array(objects)
    return Scene(objects.shape[1:], lambda window: proposals(objects, window))


def proposals(masks, window, scores=None) -> list[Proposal]:
    """The masks of an image within a window."""
    left, top, right, bottom = window
    cropped = [mask[top:bottom, left:right] for mask in masks]
    return [
        Proposal(
            counts=mask_to_counts(mask),
            box=tuple(boxes_from_masks(mask[None])[0].tolist()),
            point=tuple(np.argwhere(mask)[0, ::-1].astype(float).tolist()),
            predicted_iou=score,
            stability=score / 2,
            crop_box=(0, 0, right - left, bottom - top),
        )
        for mask, score in zip(cropped, scores or [0.9] * len(cropped), strict=True)
        if mask.any()
    ]


def disc(size, y, x, radius) -> np.ndarray:
    """A disc in an image of `size`."""
    rows, columns = np.ogrid[: size[0], : size[1]]
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


def box(size, top, left, bottom, right) -> np.ndarray:
    """A rectangle in an image of `size`."""
    mask = np.zeros(size, bool)
    mask[top:bottom, left:right] = True
    return mask


def assert_same(masks, expected):
    """Compares two sets of masks."""
    ours, theirs = (
        sorted(encode_rle(mask)["counts"] for mask in some)
        for some in (masks, expected)
    )
    assert ours == theirs
