"""Everything in an image: masks from a grid of points (SAM, appendix B).

The flow is the released generator's, crop by crop: points in chunks through the
compiled `candidates`, suppression of doubles within the crop and then between crops,
clean-up of small regions, records. Results equal the release's, in the same order,
but for what lies within rounding of a threshold.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int, UInt8

from samjax.data.schema import Annotation
from samjax.geometry.boxes import box_area, boxes_from_masks, nms, nms_threshold
from samjax.geometry.frame import Frame
from samjax.geometry.grids import crop_boxes
from samjax.geometry.masks import counts_to_mask, counts_to_text, mask_to_counts
from samjax.geometry.overlaps import intersections, suppress_doubles
from samjax.geometry.regions import fill_small_holes, remove_small_islands
from samjax.geometry.run_lengths import counts_of_packed
from samjax.geometry.stripes import Blocks, upscaling_blocks
from samjax.inference.automatic.config import AutomaticConfig, Number
from samjax.inference.automatic.device import (
    Candidates,
    Filters,
    Pace,
    find_candidates,
    share_image,
)
from samjax.inference.embedding import ImageEmbedding
from samjax.inference.images import ImageSource, read_image
from samjax.inference.predictor import Predictor, check_scores


class Proposal(NamedTuple):
    """A mask on its way to a record.

    Attributes:
        counts: run lengths in the image, column by column, zeros first.
        box: inclusive XYXY in the image.
        point: (x, y) in the image of the point that asked for it.
        predicted_iou: the model's estimate of its quality.
        stability: its stability score.
        crop_box: XYXY of the crop that it was made in.
    """

    counts: Int[np.ndarray, " r"]
    box: tuple[int, int, int, int]
    point: tuple[float, float]
    predicted_iou: float
    stability: float
    crop_box: tuple[int, int, int, int]

    @property
    def area(self) -> int:
        """Number of its pixels."""
        return int(self.counts[1::2].sum())


def generate_masks(
    predictor: Predictor, image: ImageSource, config: AutomaticConfig | None = None
) -> list[Annotation]:
    """Segments everything in an image.

    Args:
        predictor: the model.
        image: RGB uint8 (h, w, 3), or anything that `Predictor.embed` takes.
        config: options; by default the release's, with the thresholds that suit the
            model (`AutomaticConfig.for_model`).

    Returns:
        A record for every mask, with the fields of SA-1B.

    Raises:
        ValueError: the image cannot be used.
        ImportError: small regions are to be cleaned up, and OpenCV is missing.
    """
    config = config or AutomaticConfig().for_model(predictor.model.config)
    image = read_image(image)
    proposals = propose(predictor, image, config)
    size = image.shape[:2]
    return [
        to_annotation(number, proposal, size, config.output_mode)
        for number, proposal in enumerate(proposals)
    ]


def propose(
    predictor: Predictor, image: UInt8[np.ndarray, "h w 3"], config: AutomaticConfig
) -> list[Proposal]:
    """Finds the masks of an image, in the release's order."""
    size = (image.shape[0], image.shape[1])
    boxes, layers = crop_boxes(size, config.crop_n_layers, config.crop_overlap_ratio)
    grids = config.grids()
    proposals: list[Proposal] = []
    for box, layer in zip(boxes.tolist(), layers, strict=True):
        grid = grids[layer]
        in_crop = propose_in_crop(
            predictor, image, tuple(box), grid, config, config.batch_size(len(grid))
        )
        scores = [proposal.predicted_iou for proposal in in_crop]
        proposals += suppress(in_crop, scores, config.box_nms_thresh)
    if len(boxes) > 1:
        proposals = suppress_between_crops(proposals, config.crop_nms_thresh)
    return finish(proposals, size, config)


def suppress_between_crops(
    proposals: Sequence[Proposal], threshold: Number
) -> list[Proposal]:
    """Keeps, of proposals of several crops that are alike, that of the smallest crop.

    Small crops see more of what is small.
    """
    crops = np.array([proposal.crop_box for proposal in proposals]).reshape(-1, 4)
    return suppress(proposals, (1.0 / box_area(crops)).tolist(), threshold)


def suppress(
    proposals: Sequence[Proposal], scores: Sequence[float], threshold: Number
) -> list[Proposal]:
    """Keeps, of proposals whose boxes overlap by more than the threshold, the best.

    Returns:
        What is kept, by falling score.
    """
    if not proposals:
        return []
    # A power of two, so that few lengths are compiled.
    room = 1 << (len(proposals) - 1).bit_length()
    boxes = np.zeros((room, 4), np.float32)
    boxes[: len(proposals)] = [proposal.box for proposal in proposals]
    padded = np.zeros(room, np.float32)
    padded[: len(proposals)] = scores
    valid = np.arange(room) < len(proposals)
    order, keep = jax.device_get(
        nms(boxes, padded, valid, nms_threshold(float(threshold)))
    )
    return [proposals[i] for i in order[keep]]


def finish(
    proposals: list[Proposal], size: tuple[int, int], config: AutomaticConfig
) -> list[Proposal]:
    """Cleans up small regions and removes doubles, as the options say."""
    if config.min_mask_region_area > 0:
        proposals = _clean(proposals, size, config)
    if config.mask_nms_thresh is not None:
        proposals = _suppress_doubles(proposals, size, config.mask_nms_thresh)
    return proposals


def propose_in_crop(
    predictor: Predictor,
    image: UInt8[np.ndarray, "h w 3"],
    crop_box: tuple[int, int, int, int],
    grid: Float[np.ndarray, "n 2"],
    config: AutomaticConfig,
    chunk: int,
) -> list[Proposal]:
    """Finds the masks of a crop, with all that are alike.

    Args:
        predictor: the model.
        image: the whole image.
        crop_box: XYXY of the crop in it.
        grid: the points, (x, y) in the unit square of the crop.
        config: options.
        chunk: points that go through the decoder together.

    Raises:
        ValueError: the model predicts numbers that are not finite.
    """
    left, top, right, bottom = crop_box
    size = (image.shape[0], image.shape[1])
    embedding = predictor.embed(image[top:bottom, left:right])
    points = grid * np.array([right - left, bottom - top])
    area_limit = np.inf
    if config.max_mask_area_fraction is not None:
        area_limit = config.max_mask_area_fraction * size[0] * size[1]
    corner, proposals = [left, top, left, top], []
    asked = _ask(predictor, embedding, points, crop_box, size, config, chunk)
    for first, found in asked:
        check_scores(np.asarray(found.predicted_iou[: int(found.count)]))
        for row in range(int(found.count)):
            x, y = points[first + int(found.source[row]) // 3]
            box, bits = np.asarray(found.boxes[row]), np.asarray(found.bits[row])
            proposal = Proposal(
                counts=_counts_in_image(bits, box, crop_box, size),
                box=tuple((box + corner).tolist()),
                point=(float(x + left), float(y + top)),
                predicted_iou=float(found.predicted_iou[row]),
                stability=float(found.stability[row]),
                crop_box=crop_box,
            )
            if proposal.area < area_limit:
                proposals.append(proposal)
    return proposals


def _ask(
    predictor: Predictor,
    embedding: ImageEmbedding,
    points: Float[np.ndarray, "n 2"],
    crop_box: tuple[int, int, int, int],
    size: tuple[int, int],
    config: AutomaticConfig,
    chunk: int,
) -> Iterator[tuple[int, Candidates]]:
    """Asks about the points of a crop, chunk by chunk.

    Yields:
        The number of the chunk's first point, and what passed.
    """
    frame = embedding.frame
    filters = Filters(
        predicted_iou=np.float32(config.pred_iou_thresh),
        stability=np.float32(config.stability_score_thresh),
        stability_offset=np.float32(config.stability_score_offset),
        size=np.array(frame.original_size, np.int32),
        crop_box=np.array(crop_box, np.float32),
        image_box=np.array([0, 0, size[1], size[0]], np.float32),
    )
    down, across, pace = divide_work(
        frame, predictor.low_res_size, chunk, on_cpu=jax.default_backend() == "cpu"
    )
    in_model = frame.points_to_model(points)
    shared = share_image(predictor.params, embedding.features, model=predictor.model)

    def start(first: int, capacity: int) -> Candidates:
        of_chunk = np.zeros((chunk, 2), np.float32)
        number = len(in_model[first : first + chunk])
        of_chunk[:number] = in_model[first : first + chunk]
        return find_candidates(
            predictor.params,
            shared,
            of_chunk,
            np.int32(number),
            down,
            across,
            filters,
            grid=embedding.features.shape[:2],
            model=predictor.model,
            capacity=capacity,
            pace=pace,
        )

    # The device works on the next chunk while the host reads the last.
    capacity = chunk
    running = start(0, capacity)
    for first in range(0, len(points), chunk):
        found = running
        if first + chunk < len(points):
            running = start(first + chunk, capacity)
        while int(found.count) > len(found.source):
            capacity = min(2 * len(found.source), 3 * chunk)
            found = start(first, capacity)
        yield first, jax.device_get(found)


# A point's work fits the caches of a core; four at a time keep two cores busy.
CPU_PACE = Pace(points=1, masks=1, abreast=4)
STRIPE = 64


class Work(NamedTuple):
    """How the work on a chunk of points is cut up.

    Attributes:
        down: of the crop's rows; a block is a stripe.
        across: of its columns.
        pace: how much at a time.
    """

    down: Blocks
    across: Blocks
    pace: Pace


def divide_work(frame: Frame, low_res_size: int, chunk: int, *, on_cpu: bool) -> Work:
    """Cuts up the work on chunks of points of a crop, as the device likes it.

    Args:
        frame: of the crop.
        low_res_size: side of the decoder's masks.
        chunk: points of a call.
        on_cpu: whether a CPU does it, or an accelerator.
    """

    def blocks(axis: int, size: int) -> Blocks:
        original = frame.original_size[axis]
        sizes = (low_res_size, frame.model_size, frame.resized_size[axis], original)
        padded = -(-size_class(original) // size) * size
        return upscaling_blocks(sizes, padded, size)

    return Work(
        down=blocks(0, STRIPE if on_cpu else 8 * STRIPE),
        across=blocks(1, 16),
        pace=CPU_PACE if on_cpu else Pace(points=chunk, masks=16, abreast=1),
    )


def size_class(side: int) -> int:
    """Rounds a side up to one of few sizes, by at most an eighth above 512 pixels."""
    step = max(64, 1 << max(0, (side - 1).bit_length() - 4))
    return -(-side // step) * step


def _counts_in_image(
    bits: UInt8[np.ndarray, "h8 w"],
    box: Int[np.ndarray, " 4"],
    crop_box: tuple[int, int, int, int],
    size: tuple[int, int],
) -> Int[np.ndarray, " r"]:
    """Run lengths in the image of a mask of a crop, looking at its box only."""
    left, top, right, bottom = box.tolist()
    of_box = bits[top // 8 : bottom // 8 + 1, left : right + 1]
    corner = crop_box[1] + top // 8 * 8, crop_box[0] + left
    return counts_of_packed(of_box, corner, size)


def _clean(
    proposals: Sequence[Proposal], size: tuple[int, int], config: AutomaticConfig
) -> list[Proposal]:
    """Fills small holes, removes small islands, and suppresses what became alike."""
    cleaned, untouched = [], []
    for proposal in proposals:
        before = counts_to_mask(proposal.counts, size)
        mask = fill_small_holes(before, config.min_mask_region_area)
        mask = remove_small_islands(
            mask, config.min_mask_region_area, keep_largest=not config.drop_small_masks
        )
        if config.drop_small_masks and not mask.any():
            continue
        is_same = mask is before
        if not is_same:
            box = tuple(boxes_from_masks(mask[None])[0].tolist())
            proposal = proposal._replace(counts=mask_to_counts(mask), box=box)
        cleaned.append(proposal)
        untouched.append(float(is_same))
    threshold = max(config.box_nms_thresh, config.crop_nms_thresh)
    return suppress(cleaned, untouched, threshold)


def _suppress_doubles(
    proposals: Sequence[Proposal], size: tuple[int, int], threshold: Number
) -> list[Proposal]:
    shared = intersections([proposal.counts for proposal in proposals], size)
    scores = np.array([proposal.predicted_iou for proposal in proposals])
    return [proposals[i] for i in suppress_doubles(shared, scores, threshold)]


def to_annotation(
    number: int, proposal: Proposal, size: tuple[int, int], output_mode: str
) -> Annotation:
    """Makes the record of a mask, whose number is its id."""
    return Annotation(
        bbox=[float(value) for value in _to_xywh(proposal.box)],
        area=proposal.area,
        segmentation=_segmentation(proposal.counts, size, output_mode),
        predicted_iou=proposal.predicted_iou,
        point_coords=[list(proposal.point)],
        crop_box=[float(value) for value in _to_xywh(proposal.crop_box)],
        id=number,
        stability_score=proposal.stability,
    )


def _segmentation(counts: np.ndarray, size: tuple[int, int], output_mode: str) -> Any:
    if output_mode == "binary_mask":
        return counts_to_mask(counts, size)
    if output_mode == "uncompressed_rle":
        return {"size": list(size), "counts": counts.tolist()}
    return {"size": list(size), "counts": counts_to_text(counts)}


def _to_xywh(box: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    left, top, right, bottom = box
    return left, top, right - left, bottom - top
