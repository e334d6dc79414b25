"""Everything in an image too large for the model, tile by tile, in bounded memory.

The image is covered by equal tiles that overlap by twice a halo. Each is segmented as
an image of its own (`samjax.inference.automatic.generate.propose`). A mask that reaches an edge
where the image goes on is a *piece* of something; any other is *whole*. Masks of two
tiles are compared where the tiles overlap:

- two wholes whose IoU is above `crop_nms_thresh` are doubles: the one of the higher
  predicted IoU stays, of equals the earlier;
- a piece that looks as its tile would see a whole of another tile is a view of that
  whole, and what is mostly views does not count;
- two pieces that agree in the overlap are of one object and are linked, the best pairs
  first. No object gets two masks of one tile.

*Agree* and *look as* are IoUs above `seam_iou`. Linked pieces become one mask: of each
pixel the tile decides whose middle it lies in. A piece that is linked to none stays as
it is if most of it lies in the middle of its tile, else the neighbour knows better.
Wholes are never changed.

Masks are run lengths throughout. Those that no later tile can touch are handed out row
by row, so memory holds about two rows of tiles' masks, and the pieces of objects that
reach further. It does not grow with the pixels of the image.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8

from samjax.data.large_images import LargeImage
from samjax.data.schema import Annotation
from samjax.geometry.masks import counts_to_text
from samjax.geometry.overlaps import intersections
from samjax.geometry.run_lengths import box_of_runs, counts_in_larger, where_more
from samjax.inference.automatic.config import AutomaticConfig, Number
from samjax.inference.automatic.generate import Proposal, propose
from samjax.inference.predictor import Predictor

# Left, top, right, bottom in the image; the last two exclusive but in proposals.
Box = tuple[int, int, int, int]
Progress = Callable[[int, int], object]

# Pixels within which a mask reaches an edge: a low-res cell where nothing is scaled.
EDGE = 4
MOST_PIXELS = 2**32 - 1  # COCO's tools hold run lengths in 32 bits.


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

    `config` holds for each tile: its points, its crops, its thresholds. Regions smaller
    than `min_mask_region_area` are cleaned up in tiles, before pieces are joined.
    `max_mask_area_fraction` is of the whole image. If one tile covers the image, the
    records are those of `samjax.inference.generate_masks`.

    Args:
        predictor: the model.
        image: from `samjax.data.large_images.open_large_image`, or an `ArrayImage`.
        config: options; by default the release's, with the thresholds that suit the
            model (`AutomaticConfig.for_model`).
        tile_size: side of a tile in pixels, halos included. The default is the model's
            input size, so that nothing is scaled.
        halo: by how much a tile reaches beyond its middle, at least; an eighth of it by
            default. Twice this, less `EDGE` on both sides, is always whole in a tile.
        seam_iou: above this IoU masks of two tiles agree.
        progress: is called after every tile with the number done and that of all.
        propose: finds the masks of a tile, as `samjax.inference.automatic.generate.propose`.

    Returns:
        The records, made as they are asked for, tile by tile in rows. Ids count from 0.
        A mask of several tiles has the points of all its pieces, their mean scores by
        area, and as `crop_box` the box around their crops.

    Raises:
        ValueError: the options contradict each other or the image is too large; later,
            the image cannot be read.
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
            "tiles of more than two halos, and an IoU from 0 to 1: leave out what is odd"
        )
    if config.output_mode == "binary_mask":
        raise ValueError(
            "got output_mode='binary_mask', whose masks have all pixels of the image: "
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
    """Equal spans that overlap by two halos or more: start, stop, those of the middle."""
    if length <= tile_size:
        return [(0, length, 0, length)]
    last = -(-(length - tile_size) // (tile_size - 2 * halo))
    starts = [number * (length - tile_size) // last for number in range(last + 1)]
    stops = [start + tile_size for start in starts]
    seams = [(a + b) // 2 for a, b in zip(starts[1:], stops[:-1], strict=True)]
    return list(zip(starts, stops, [0, *seams], [*seams, length], strict=True))


@dataclasses.dataclass(eq=False)
class _Tile:
    """A tile; `pieces` are its masks until it is settled: no later tile overlaps it."""

    number: int
    window: Box
    core: Box
    pieces: list[_Piece] = dataclasses.field(default_factory=list)
    is_settled: bool = False


@dataclasses.dataclass(eq=False)
class _Piece:
    """A mask of a tile, in the frame of the image.

    Attributes:
        order: number of the tile, and of the mask in it.
        tile: where it was found.
        proposal: the mask.
        is_cut: whether it is a piece of something, not a whole.
        is_covered: whether a mask of another tile shows the same better.
        group: the pieces that it is linked to, itself among them.
    """

    order: tuple[int, int]
    tile: _Tile
    proposal: Proposal
    is_cut: bool
    is_covered: bool = False
    group: list[_Piece] = dataclasses.field(default_factory=list)

    def touches(self, box: Box) -> bool:
        """Whether its box has pixels in another."""
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
    tiles, records = itertools.count(), itertools.count()
    for row, (top, bottom, core_top, core_bottom) in enumerate(rows):
        for left, right, core_left, core_right in columns:
            tile = _Tile(
                number=next(tiles),
                window=(left, top, right, bottom),
                core=(core_left, core_top, core_right, core_bottom),
            )
            joiner.add(tile, masks_of_tile(image.read(top, left, bottom, right)))
            for other in waiting:
                joiner.compare(other, tile)
            waiting.append(tile)
            if progress is not None:
                progress(tile.number + 1, len(rows) * len(columns))
        below = rows[row + 1][0] if row + 1 < len(rows) else bottom
        settled = [tile for tile in waiting if tile.window[3] <= below]
        waiting = [tile for tile in waiting if tile.window[3] > below]
        for group in _finished(settled):
            record = joiner.record(group)
            if record is not None:
                record["id"] = next(records)
                yield record


def _finished(settled: list[_Tile]) -> list[list[_Piece]]:
    """The groups that no later tile can add to, in the order of their first pieces."""
    groups = {id(piece.group): piece.group for tile in settled for piece in tile.pieces}
    for tile in settled:
        # Else one piece of something large would keep all masks of its tile.
        tile.is_settled, tile.pieces = True, []
    finished = [
        sorted(group, key=lambda piece: piece.order)
        for group in groups.values()
        if all(piece.tile.is_settled for piece in group)
    ]
    for group in finished:
        # Pieces and their groups hold each other, and would wait to be collected.
        group[0].group.clear()
    return sorted(finished, key=lambda group: group[0].order)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Joiner:
    """Decides which masks of the tiles of an image of `size` are one, and records it."""

    size: tuple[int, int]
    config: AutomaticConfig
    seam_iou: float

    def add(self, tile: _Tile, proposals: Sequence[Proposal]) -> None:
        """Puts the masks of a tile in the frame of the image."""
        left, top, right, bottom = tile.window
        shift, size = np.array([left, top, left, top]), (bottom - top, right - left)
        for index, proposal in enumerate(proposals):
            placed = proposal._replace(
                counts=counts_in_larger(proposal.counts, size, (top, left), self.size),
                box=tuple((proposal.box + shift).tolist()),
                point=(proposal.point[0] + left, proposal.point[1] + top),
                crop_box=tuple((proposal.crop_box + shift).tolist()),
            )
            piece = _Piece(
                order=(tile.number, index),
                tile=tile,
                proposal=placed,
                is_cut=placed.area > 0 and self._is_at_edge(placed.box, tile.window),
            )
            piece.group.append(piece)
            tile.pieces.append(piece)

    def compare(self, earlier: _Tile, later: _Tile) -> None:
        """Finds doubles, views and links between the masks of two tiles."""
        overlap = _overlap(earlier.window, later.window)
        ours, theirs = (
            [piece for piece in tile.pieces if overlap and piece.touches(overlap)]
            for tile in (earlier, later)
        )
        if overlap is None or not ours or not theirs:
            return
        n, counts = len(ours), [piece.proposal.counts for piece in ours + theirs]
        shared = intersections([*counts, self._rectangle(overlap)], self.size)
        # A tile sees of the whole mask of another only what lies in the overlap, and
        # of the pieces of two tiles that is all that can be compared.
        area, seen = np.diagonal(shared), shared[-1]
        cut = np.array([piece.is_cut for piece in ours + theirs])
        cut_ours, cut_theirs = cut[:n, None], cut[None, n:]
        both = shared[:n, n:-1]
        of_ours = np.where(cut_theirs, seen[:n, None], area[:n, None])
        of_theirs = np.where(cut_ours, seen[None, n:-1], area[None, n:-1])
        iou = both / np.maximum(of_ours + of_theirs - both, 1)
        doubles = (iou > self.config.crop_nms_thresh) & ~cut_ours & ~cut_theirs
        for i, j in np.argwhere(doubles):
            # Of equals the first.
            best = max(ours[i], theirs[j], key=lambda p: p.proposal.predicted_iou)
            (theirs[j] if best is ours[i] else ours[i]).is_covered = True
        for i, j in np.argwhere((iou > self.seam_iou) & (cut_ours != cut_theirs)):
            (ours[i] if ours[i].is_cut else theirs[j]).is_covered = True
        links = np.argwhere((iou > self.seam_iou) & cut_ours & cut_theirs)
        for i, j in links[np.argsort(-iou[tuple(links.T)], kind="stable")]:
            _link(ours[i], theirs[j])

    def record(self, group: list[_Piece]) -> Annotation | None:
        """The record of linked pieces, or of a single mask; None if it does not count."""
        proposals = [piece.proposal for piece in group]
        areas = np.array([proposal.area for proposal in proposals])
        covered = np.array([piece.is_covered for piece in group])
        if 2 * areas[covered].sum() > areas.sum():
            return None
        is_single = len(group) == 1
        if is_single and group[0].is_cut and not self._is_mostly_in_core(group[0]):
            return None
        mask = proposals[0] if is_single else self._joined(group, areas)
        limit = self.config.max_mask_area_fraction
        limit = np.inf if limit is None else limit * self.size[0] * self.size[1]
        if mask is None or mask.area >= limit:
            return None
        is_text = self.config.output_mode == "coco_rle"
        counts: Any = counts_to_text(mask.counts) if is_text else mask.counts.tolist()
        return Annotation(
            bbox=_to_xywh(mask.box),
            area=mask.area,
            segmentation={"size": list(self.size), "counts": counts},
            predicted_iou=mask.predicted_iou,
            point_coords=[list(proposal.point) for proposal in proposals],
            crop_box=_to_xywh(mask.crop_box),
            id=0,
            stability_score=mask.stability,
        )

    def _is_at_edge(self, box: Box, window: Box) -> bool:
        """Whether a box, its last pixels included, ends where the image goes on."""
        (height, width), (left, top, right, bottom) = self.size, window
        goes_on = left > 0, top > 0, right < width, bottom < height
        gaps = box[0] - left, box[1] - top, right - 1 - box[2], bottom - 1 - box[3]
        return any(on and gap < EDGE for on, gap in zip(goes_on, gaps, strict=True))

    def _is_mostly_in_core(self, piece: _Piece) -> bool:
        core = self._rectangle(piece.tile.core)
        shared = intersections([piece.proposal.counts, core], self.size)
        return bool(2 * shared[0, 1] > shared[0, 0])

    def _joined(self, group: list[_Piece], areas: np.ndarray) -> Proposal | None:
        parts = []
        for piece in group:
            others = [other.tile.core for other in group if other is not piece]
            cores = [self._rectangle(box) for box in others if piece.touches(box)]
            parts.append(where_more([piece.proposal.counts], cores))
        counts = where_more(parts, [])
        if counts[0] == counts.sum():
            return None
        proposals = [piece.proposal for piece in group]
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


def _link(piece: _Piece, other: _Piece) -> None:
    small, large = sorted((piece.group, other.group), key=len)
    tiles = {member.tile.number for member in large}
    # Two masks of one tile are two things: a whole and its part agree in an overlap.
    if small is large or any(member.tile.number in tiles for member in small):
        return
    large.extend(small)
    for member in small:
        member.group = large


def _overlap(box: Box, other: Box) -> Box | None:
    left, top = max(box[0], other[0]), max(box[1], other[1])
    right, bottom = min(box[2], other[2]), min(box[3], other[3])
    return (left, top, right, bottom) if left < right and top < bottom else None


def _to_xywh(box: Box) -> list[float]:
    left, top, right, bottom = box
    return [float(left), float(top), float(right - left), float(bottom - top)]
