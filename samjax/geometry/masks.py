"""Boolean masks: COCO's run-length encoding, areas, overlaps.

COCO encodes a mask column by column: the lengths of alternating runs of zeros and ones,
zeros first (so a mask whose first pixel is set starts with a run of length 0). For JSON
the lengths become text: from the fourth run on each is replaced by its difference to
the run two before, and every number is written in groups of five bits, low groups
first, as characters from 48 on; a sixth bit is set if more groups follow. SA-1B, COCO
and LVIS use this text. The code here gives the same bytes as pycocotools.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import numpy as np
from jaxtyping import Bool, Float, Int


class Rle(TypedDict):
    """A run-length encoded mask in the form of JSON.

    Attributes:
        size: [h, w] of the mask.
        counts: COCO's text form of the run lengths.
    """

    size: list[int]
    counts: str


def encode_rle(mask: Bool[np.ndarray, "h w"]) -> Rle:
    """Encodes a mask in COCO's compressed form, with the same bytes as pycocotools."""
    return Rle(size=list(mask.shape), counts=counts_to_text(mask_to_counts(mask)))


def decode_rle(rle: Rle | Mapping[str, Any]) -> Bool[np.ndarray, "h w"]:
    """Decodes a mask. `counts` may be text, bytes, or a list of run lengths.

    Raises:
        ValueError: the counts are malformed or do not add up to the size.
    """
    height, width = (int(side) for side in rle["size"])
    return counts_to_mask(run_lengths(rle), (height, width))


def rle_area(rle: Rle | Mapping[str, Any]) -> int:
    """Returns the number of pixels of an encoded mask, without decoding its pixels."""
    return int(run_lengths(rle)[1::2].sum())


def run_lengths(rle: Rle | Mapping[str, Any]) -> Int[np.ndarray, " r"]:
    """Returns the run lengths of an encoded mask, column by column, zeros first.

    Raises:
        ValueError: the counts are malformed.
    """
    counts = rle["counts"]
    if isinstance(counts, (str, bytes)):
        return text_to_counts(counts)
    return np.asarray(counts, np.int64)


def mask_to_counts(mask: Bool[np.ndarray, "h w"]) -> Int[np.ndarray, " r"]:
    """Returns the run lengths of a mask, column by column, zeros first."""
    pixels = mask.T.reshape(-1)
    changes = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    starts = [0, 0] if pixels.size and pixels[0] else [0]
    return np.diff(np.concatenate([starts, changes, [pixels.size]]))


def unite_counts(
    masks: Sequence[Int[np.ndarray, " _"]], pixels: int
) -> Int[np.ndarray, " r"]:
    """Returns the run lengths of the union of masks.

    Args:
        masks: run lengths of the masks.
        pixels: number of pixels of each, ones and zeros.
    """
    bounds = [np.cumsum(counts) for counts in masks]
    begins = np.concatenate([np.zeros(0, np.int64), *(own[0:-1:2] for own in bounds)])
    ends = np.concatenate([np.zeros(0, np.int64), *(own[1::2] for own in bounds)])
    positions, index = np.unique(np.concatenate([begins, ends]), return_inverse=True)
    steps = np.repeat([1, -1], [len(begins), len(ends)])
    level = np.cumsum(np.bincount(index, weights=steps, minlength=len(positions)))
    changes = positions[np.flatnonzero(np.diff(level > 0.5, prepend=False))]
    counts = np.diff(changes, prepend=0, append=pixels)
    # A mask that ends in ones has no run after them.
    return counts if counts[-1] or len(counts) == 1 else counts[:-1]


def counts_to_mask(
    counts: Int[np.ndarray, " r"], size: tuple[int, int]
) -> Bool[np.ndarray, "h w"]:
    """Returns the mask of `size` (h, w) whose column-wise runs have these lengths.

    Raises:
        ValueError: a run is negative, or the runs do not add up to h * w.
    """
    height, width = size
    if min(height, width) < 0 or (counts < 0).any() or counts.sum() != height * width:
        raise ValueError(
            f"got runs that add up to {int(counts.sum())} (smallest "
            f"{int(counts.min(initial=0))}) for a mask of {size=}, expected "
            f"{height * width} pixels: the record is damaged, or its size is of "
            "another image"
        )
    pixels = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return np.ascontiguousarray(pixels.reshape(width, height).T)


def counts_to_text(counts: Int[np.ndarray, " r"]) -> str:
    """Writes run lengths as COCO's text."""
    values = counts.astype(np.int64)
    values[3:] -= counts[1:-2]
    groups, present = [], []
    unfinished = np.ones(len(values), bool)
    while unfinished.any():
        present.append(unfinished)
        group = values & 0x1F
        values = values >> 5
        # A value ends when all its bits left are copies of the sign bit just written.
        unfinished = present[-1] & np.where(group & 0x10, values != -1, values != 0)
        groups.append(group | (unfinished << 5))
    codes = (
        np.stack(groups, axis=1)[np.stack(present, axis=1)] if groups else np.array([])
    )
    return (codes + 48).astype(np.uint8).tobytes().decode("ascii")


def text_to_counts(text: str | bytes) -> Int[np.ndarray, " r"]:
    """Reads run lengths from COCO's text.

    Raises:
        ValueError: the text has characters or endings that the code cannot produce.
    """
    data = text.encode("latin-1", "replace") if isinstance(text, str) else text
    # Small dtypes: untrusted text may be long, with a value per character.
    codes = np.frombuffer(data, np.uint8) - np.uint8(48)
    if not codes.size:
        return np.zeros(0, np.int64)
    ends = np.flatnonzero((codes & 0x20) == 0)
    if codes.max() > 63 or not ends.size or ends[-1] != len(codes) - 1:
        raise ValueError(
            f"got run lengths {data[:20]!r}..., expected COCO's compressed counts "
            "(characters '0' to 'o', the last number complete): the text is damaged "
            "or is not run-length code"
        )
    lengths = np.diff(ends, prepend=-1)
    longest = int(lengths.max())
    if longest > 7:
        raise ValueError(
            "got a run length of more than 35 bits in COCO's compressed counts, "
            "expected at most 2**32 pixels: the text is damaged"
        )
    lengths = lengths.astype(np.int8)
    # The last group has the sign bit; the groups before it are the lower bits.
    last = codes[ends]
    values = (last & 0x1F).astype(np.int64)
    values -= (last & 0x10).astype(np.int64) << 1
    for before in range(1, longest):
        more = lengths > before
        values[more] = (values[more] << 5) | (codes[ends[more] - before] & 0x1F)
    # Undo the differences: odd runs and even runs are two chains; run 2 stands alone.
    np.cumsum(values[1::2], out=values[1::2])
    np.cumsum(values[2::2], out=values[2::2])
    return values


def mask_iou(
    masks: Bool[np.ndarray, "n h w"], others: Bool[np.ndarray, "m h w"]
) -> Float[np.ndarray, "n m"]:
    """Returns the intersection over union of every mask with every other.

    Two empty masks have 0, never NaN.
    """
    # Not reshape(len(m), -1), which numpy refuses for zero masks.
    left, right = (m.reshape(len(m), m.shape[1] * m.shape[2]) for m in (masks, others))
    intersection = np.zeros((len(left), len(right)))
    # Float32 products are exact up to 2**24 pixels, and are much faster than boolean
    # ones.
    for start in range(0, left.shape[1], 1 << 20):
        part = slice(start, start + (1 << 20))
        intersection += left[:, part].astype(np.float32) @ right[:, part].T.astype(
            np.float32
        )
    union = left.sum(axis=1)[:, None] + right.sum(axis=1)[None, :] - intersection
    return intersection / np.where(union > 0, union, 1.0)
