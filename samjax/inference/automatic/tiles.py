"""Automatic mask generation on tiles of very large images, in bounded memory.

The image is covered by equal tiles that overlap by twice a halo. Each is segmented as
an image of its own (`samjax.inference.automatic.generate.propose`). A mask that reaches
an edge of its tile inside the image is *truncated*; any other is *complete*. Masks of
two tiles are compared within the overlap of the tiles:

- two complete masks whose IoU is above `crop_nms_thresh` are duplicates: the one of
  the higher predicted IoU stays, of equals the earlier;
- a truncated mask that matches another tile's complete mask, clipped to this tile, is a
  duplicate of it; a mask of which most is duplicates is dropped;
- two truncated masks that match in the overlap are of one object and are linked, in
  the order of their IoU. No object gets two masks of one tile.

Masks *match* where their IoU is above `seam_iou`. Linked masks become one: each pixel
is decided by the tile in whose core (the tile without its halos) it lies. A truncated
mask without links stays as it is if most of it lies in the core of its tile, and is
dropped otherwise, since the neighbour sees more of the object. Complete masks are never
changed.

This is a suppression of its own, beside `suppression`: box NMS cannot tell a truncated
mask from a smaller object, and would need the masks of all tiles at once.

Masks are run lengths throughout. Those that no later tile can touch are returned row by
row, so memory holds about two rows of tiles' masks, and the parts of objects that reach
further. It does not grow with the pixels of the image.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from jaxtyping import Int, UInt8

from samjax.data.large_images import LargeImage
from samjax.data.schema import Annotation
from samjax.geometry.overlaps import intersections
from samjax.geometry.run_lengths import box_of_runs, counts_in_larger, where_more
from samjax.inference.automatic.config import AutomaticConfig, Number
from samjax.inference.automatic.generate import propose
from samjax.inference.automatic.records import Box, Proposal, to_annotation
from samjax.inference.embedding import MOST_PIXELS
from samjax.inference.predictor import Predictor

Progress = Callable[[int, int], object]

# Tolerance in pixels for a mask that reaches an edge: one low-res pixel of an unscaled
# tile.
EDGE = 4


def generate_masks_in_tiles(
    predictor: Predictor,
    image: LargeImage,
    config: AutomaticConfig | None = None,
    *,
    tile_size: int | None = None,
    halo: int | None = None,
    seam_iou: Number = 0.5,
    progress: Progress | None = None,
    propose: Callable[..., list[Proposal]] = propose,
) -> Iterator[Annotation]:
    """Segments everything in a large image.

    `config` applies to each tile: points, crops, thresholds. Regions smaller than
    `min_mask_region_area` are cleaned up in tiles, before truncated masks are joined.
    `max_mask_area_fraction` is of the whole image. If one tile covers the image, the
    records are those of `samjax.inference.generate_masks`.

    Args:
        predictor: the model.
        image: from `samjax.data.large_images.open_large_image`, or an `ArrayImage`.
        config: options; by default the release's, with the thresholds that suit the
            model (`AutomaticConfig.for_model`).
        tile_size: side of a tile in pixels, halos included. The default is the model's
            input size, so that tiles are not scaled.
        halo: least distance from a tile's core to its edge; an eighth of `tile_size` by
            default. An object of up to twice this, less `EDGE` on both sides, is
            complete in some tile.
        seam_iou: masks of two tiles match above this IoU.
        progress: is called after every tile with the number done and the total.
        propose: returns the masks of a tile, as
            `samjax.inference.automatic.generate.propose`.

    Returns:
        The records, made lazily, tile by tile in rows. Ids count from 0. A mask of
        several tiles has the points of all its parts, their mean scores weighted by
        area, and as `crop_box` the box around their crops.

    Raises:
        ValueError: the options contradict each other or the image is too large; on
            iteration, the image cannot be read.
        ImportError: small regions are to be cleaned up, and OpenCV is missing.
    """
    config = config or AutomaticConfig().for_model(predictor.model.config)
    if tile_size is None:
        tile_size = predictor.model.config.image_size
    if halo is None:
        halo = max(1, tile_size // 8)
    height, width = image.size
    if halo < 1 or tile_size <= 2 * halo or not 0 <= seam_iou <= 1:
        raise ValueError(
            f"got {tile_size=}, {halo=} and {seam_iou=}, expected a halo of at least 1, "
            "tiles of more than two halos, and an IoU from 0 to 1: leave out those that "
            "you have no reason to set"
        )
    if config.output_mode == "binary_mask":
        raise ValueError(
            "got output_mode='binary_mask', whose masks hold every pixel of the image: "
            "use 'coco_rle' or 'uncompressed_rle'"
        )
    if height * width > MOST_PIXELS:
        raise ValueError(
            f"got an image of {height} x {width} pixels, expected at most {MOST_PIXELS} "
            "in all, which COCO's run lengths can hold: segment it in parts"
        )

    def masks_of_tile(pixels: UInt8[np.ndarray, "h w 3"]) -> list[Proposal]:
        limit = config.max_mask_area_fraction
        if limit is not None:
            limit *= height * width / (pixels.shape[0] * pixels.shape[1])
        in_tile = dataclasses.replace(config, max_mask_area_fraction=limit)
        return propose(predictor, pixels, in_tile)

    joiner = _Joiner(size=image.size, config=config, seam_iou=float(seam_iou))
    rows, columns = _spans(height, tile_size, halo), _spans(width, tile_size, halo)
    return _stream(masks_of_tile, image, joiner, rows, columns, progress)


def _spans(length: int, tile_size: int, halo: int) -> list[tuple[int, int, int, int]]:
    """Returns start and stop of equal spans, and of their cores.

    Spans overlap by two halos or more; cores end in the middle of the overlaps.
    """
    if length <= tile_size:
        return [(0, length, 0, length)]
    last = -(-(length - tile_size) // (tile_size - 2 * halo))
    starts = [index * (length - tile_size) // last for index in range(last + 1)]
    stops = [start + tile_size for start in starts]
    seams = [(a + b) // 2 for a, b in zip(starts[1:], stops[:-1], strict=True)]
    return list(zip(starts, stops, [0, *seams], [*seams, length], strict=True))


@dataclasses.dataclass(eq=False)
class _Tile:
    """A tile of the image.

    Attributes:
        index: its position in the order of tiles.
        window: the tile in the image.
        core: the tile without its halos.
        masks: the masks predicted in it, until it is settled.
        is_settled: whether no later tile overlaps it.
    """

    index: int
    window: Box
    core: Box
    masks: list[_TileMask] = dataclasses.field(default_factory=list)
    is_settled: bool = False


@dataclasses.dataclass(eq=False)
class _TileMask:
    """A mask of a tile, in the frame of the image.

    Attributes:
        order: index of the tile, and of the mask in it.
        tile: the tile in which it was predicted.
        proposal: the mask.
        is_truncated: whether it reaches an edge of its tile inside the image.
        is_duplicate: whether a mask of another tile shows the same object better.
        group: the masks that it is linked to, itself among them.
    """

    order: tuple[int, int]
    tile: _Tile
    proposal: Proposal
    is_truncated: bool
    is_duplicate: bool = False
    group: list[_TileMask] = dataclasses.field(default_factory=list)

    def touches(self, box: Box) -> bool:
        """Whether its box overlaps another."""
        left, top, right, bottom = self.proposal.box
        return _overlap((left, top, right + 1, bottom + 1), box) is not None


def _stream(
    masks_of_tile: Callable[[np.ndarray], list[Proposal]],
    image: LargeImage,
    joiner: _Joiner,
    rows: Sequence[tuple[int, int, int, int]],
    columns: Sequence[tuple[int, int, int, int]],
    progress: Progress | None,
) -> Iterator[Annotation]:
    waiting: list[_Tile] = []
    tiles, mask_id = itertools.count(), 0
    for row, (top, bottom, core_top, core_bottom) in enumerate(rows):
        for left, right, core_left, core_right in columns:
            tile = _Tile(
                index=next(tiles),
                window=(left, top, right, bottom),
                core=(core_left, core_top, core_right, core_bottom),
            )
            joiner.add(tile, masks_of_tile(image.read(top, left, bottom, right)))
            for other in waiting:
                joiner.compare(other, tile)
            waiting.append(tile)
            if progress is not None:
                progress(tile.index + 1, len(rows) * len(columns))
        below = rows[row + 1][0] if row + 1 < len(rows) else bottom
        settled = [tile for tile in waiting if tile.window[3] <= below]
        waiting = [tile for tile in waiting if tile.window[3] > below]
        for group in _finished(settled):
            record = joiner.record(group, mask_id)
            if record is not None:
                mask_id += 1
                yield record


def _finished(settled: list[_Tile]) -> list[list[_TileMask]]:
    """Returns groups that no later tile can add to, in the order of their first masks."""
    groups = {
        id(tile_mask.group): tile_mask.group
        for tile in settled
        for tile_mask in tile.masks
    }
    for tile in settled:
        # Otherwise one mask of a large object would keep all masks of its tile alive.
        tile.is_settled, tile.masks = True, []
    finished = [
        sorted(group, key=lambda tile_mask: tile_mask.order)
        for group in groups.values()
        if all(tile_mask.tile.is_settled for tile_mask in group)
    ]
    for group in finished:
        # Breaks the reference cycle of masks and groups: memory is freed at once, not
        # by the garbage collector.
        group[0].group.clear()
    return sorted(finished, key=lambda group: group[0].order)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Joiner:
    """Joins the masks of the tiles of an image of `size`, and makes their records."""

    size: tuple[int, int]
    config: AutomaticConfig
    seam_iou: float

    def add(self, tile: _Tile, proposals: Sequence[Proposal]) -> None:
        """Adds the masks of a tile, moved to the frame of the image."""
        left, top, right, bottom = tile.window
        shift, size = np.array([left, top, left, top]), (bottom - top, right - left)
        for index, proposal in enumerate(proposals):
            placed = proposal._replace(
                counts=counts_in_larger(proposal.counts, size, (top, left), self.size),
                box=tuple((proposal.box + shift).tolist()),
                point=(proposal.point[0] + left, proposal.point[1] + top),
                crop_box=tuple((proposal.crop_box + shift).tolist()),
            )
            tile_mask = _TileMask(
                order=(tile.index, index),
                tile=tile,
                proposal=placed,
                is_truncated=placed.area > 0
                and self._is_at_edge(placed.box, tile.window),
            )
            tile_mask.group.append(tile_mask)
            tile.masks.append(tile_mask)

    def compare(self, earlier: _Tile, later: _Tile) -> None:
        """Finds duplicates and links between the masks of two tiles."""
        overlap = _overlap(earlier.window, later.window)
        ours, theirs = (
            [
                tile_mask
                for tile_mask in tile.masks
                if overlap and tile_mask.touches(overlap)
            ]
            for tile in (earlier, later)
        )
        if overlap is None or not ours or not theirs:
            return
        n, counts = (
            len(ours),
            [tile_mask.proposal.counts for tile_mask in ours + theirs],
        )
        shared = intersections([*counts, self._rectangle(overlap)], self.size)
        # A truncated mask is compared with the part of another tile's mask that its own
        # tile covers, so the other mask's area is that within the overlap. Two complete
        # masks are compared as they are.
        area, seen = np.diagonal(shared), shared[-1]
        cut = np.array([tile_mask.is_truncated for tile_mask in ours + theirs])
        cut_ours, cut_theirs = cut[:n, None], cut[None, n:]
        both = shared[:n, n:-1]
        of_ours = np.where(cut_theirs, seen[:n, None], area[:n, None])
        of_theirs = np.where(cut_ours, seen[None, n:-1], area[None, n:-1])
        iou = both / np.maximum(of_ours + of_theirs - both, 1)
        duplicates = (iou > self.config.crop_nms_thresh) & ~cut_ours & ~cut_theirs
        for i, j in np.argwhere(duplicates):
            # Of equals the first.
            best = max(ours[i], theirs[j], key=lambda p: p.proposal.predicted_iou)
            (theirs[j] if best is ours[i] else ours[i]).is_duplicate = True
        for i, j in np.argwhere((iou > self.seam_iou) & (cut_ours != cut_theirs)):
            (ours[i] if ours[i].is_truncated else theirs[j]).is_duplicate = True
        links = np.argwhere((iou > self.seam_iou) & cut_ours & cut_theirs)
        for i, j in links[np.argsort(-iou[tuple(links.T)], kind="stable")]:
            _link(ours[i], theirs[j])

    def record(self, group: list[_TileMask], mask_id: int) -> Annotation | None:
        """Returns the record of linked masks, or of one; None if it is dropped."""
        proposals = [tile_mask.proposal for tile_mask in group]
        areas = np.array([proposal.area for proposal in proposals])
        covered = np.array([tile_mask.is_duplicate for tile_mask in group])
        if 2 * areas[covered].sum() > areas.sum():
            return None
        is_single = len(group) == 1
        if (
            is_single
            and group[0].is_truncated
            and not self._is_mostly_in_core(group[0])
        ):
            return None
        mask = proposals[0] if is_single else self._joined(group, areas)
        limit = self.config.max_mask_area_fraction
        limit = np.inf if limit is None else limit * self.size[0] * self.size[1]
        if mask is None or mask.area >= limit:
            return None
        points = [proposal.point for proposal in proposals]
        return to_annotation(
            mask, mask_id, self.size, self.config.output_mode, points=points
        )

    def _is_at_edge(self, box: Box, window: Box) -> bool:
        """Whether an inclusive box reaches an edge of a window inside the image."""
        (height, width), (left, top, right, bottom) = self.size, window
        goes_on = left > 0, top > 0, right < width, bottom < height
        gaps = box[0] - left, box[1] - top, right - 1 - box[2], bottom - 1 - box[3]
        return any(on and gap < EDGE for on, gap in zip(goes_on, gaps, strict=True))

    def _is_mostly_in_core(self, tile_mask: _TileMask) -> bool:
        core = self._rectangle(tile_mask.tile.core)
        shared = intersections([tile_mask.proposal.counts, core], self.size)
        return bool(2 * shared[0, 1] > shared[0, 0])

    def _joined(self, group: list[_TileMask], areas: np.ndarray) -> Proposal | None:
        parts = []
        for tile_mask in group:
            others = [other.tile.core for other in group if other is not tile_mask]
            cores = [self._rectangle(box) for box in others if tile_mask.touches(box)]
            parts.append(where_more([tile_mask.proposal.counts], cores))
        counts = where_more(parts, [])
        if counts[0] == counts.sum():
            return None
        proposals = [tile_mask.proposal for tile_mask in group]
        scores = [(mask.predicted_iou, mask.stability) for mask in proposals]
        predicted_iou, stability = np.average(scores, axis=0, weights=areas).tolist()
        crops = [mask.crop_box for mask in proposals]
        lefts, tops, rights, bottoms = zip(*crops, strict=True)
        return proposals[0]._replace(
            counts=counts,
            box=box_of_runs(counts, self.size[0]),
            predicted_iou=predicted_iou,
            stability=stability,
            crop_box=(min(lefts), min(tops), max(rights), max(bottoms)),
        )

    def _rectangle(self, box: Box) -> Int[np.ndarray, " r"]:
        left, top, right, bottom = box
        size = bottom - top, right - left
        filled = np.array([0, size[0] * size[1]])
        return counts_in_larger(filled, size, (top, left), self.size)


def _link(tile_mask: _TileMask, other: _TileMask) -> None:
    small, large = sorted((tile_mask.group, other.group), key=len)
    tiles = {member.tile.index for member in large}
    # Two masks of one tile are two objects: a whole and its part may match in an overlap.
    if small is large or any(member.tile.index in tiles for member in small):
        return
    large.extend(small)
    for member in small:
        member.group = large


def _overlap(box: Box, other: Box) -> Box | None:
    left, top = max(box[0], other[0]), max(box[1], other[1])
    right, bottom = min(box[2], other[2]), min(box[3], other[3])
    return (left, top, right, bottom) if left < right and top < bottom else None
