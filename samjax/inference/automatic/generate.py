"""Automatic mask generation from a grid of point prompts (SAM, appendix B).

The flow is the released generator's, crop by crop: embed the crop, decode its points in
chunks (`device`), suppress duplicates within the crop and then between crops, clean up
small regions (`suppression`), write records (`records`). Results equal the release's, in
the same order, but for what lies within rounding of a threshold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import jax
import numpy as np
from jaxtyping import Float, Int, UInt8

from samjax.data.schema import Annotation
from samjax.geometry.grids import crop_boxes
from samjax.geometry.run_lengths import counts_of_packed
from samjax.inference.automatic.config import AutomaticConfig
from samjax.inference.automatic.device import (
    ChunkMasks,
    Filters,
    find_candidates,
    prepare_image,
)
from samjax.inference.automatic.records import Box, Proposal, to_annotations
from samjax.inference.automatic.schedule import make_schedule
from samjax.inference.automatic.suppression import select_masks
from samjax.inference.checks import check_scores
from samjax.inference.embedding import ImageEmbedding
from samjax.inference.images import ImageSource, read_image
from samjax.inference.predictor import Predictor


def generate_masks(
    predictor: Predictor,
    image: ImageSource | ImageEmbedding,
    config: AutomaticConfig | None = None,
) -> list[Annotation]:
    """Segments everything in an image.

    Args:
        predictor: the model.
        image: RGB uint8 (h, w, 3), or anything else that `Predictor.embed` reads; or
            the embedding that it returned, where `config` has no layers of crops.
        config: options; by default the release's, with the thresholds that suit the
            model (`AutomaticConfig.for_model`).

    Returns:
        A record for every mask, with the fields of SA-1B.

    Raises:
        ValueError: the image cannot be used, or the embedding is of other weights.
        ImportError: small regions are to be cleaned up, and OpenCV is missing.
    """
    config = config or AutomaticConfig().for_model(predictor.model.config)
    if isinstance(image, ImageEmbedding):
        size = image.frame.original_size
        grid = grid_without_crops(config)
        chunks = propose_in_crop(predictor, image, grid, config)
        proposals = select_masks([_concatenated(chunks)], size, config)
    else:
        pixels = read_image(image)
        size = (pixels.shape[0], pixels.shape[1])
        proposals = propose(predictor, pixels, config)
    return to_annotations(proposals, size, config.output_mode)


def propose(
    predictor: Predictor,
    image: UInt8[np.ndarray, "h w 3"],
    config: AutomaticConfig,
    *,
    embed: Callable[[Predictor, UInt8[np.ndarray, "h w 3"]], ImageEmbedding] = (
        Predictor.embed
    ),
) -> list[Proposal]:
    """Returns the masks of an image, in the release's order.

    Args:
        predictor: the model.
        image: RGB.
        config: options.
        embed: embeds the image, or every crop of it, with the predictor.
    """
    size = (image.shape[0], image.shape[1])
    boxes, layers = crop_boxes(size, config.crop_n_layers, config.crop_overlap_ratio)
    grids = config.grids()
    by_crop = []
    for (left, top, right, bottom), layer in zip(boxes.tolist(), layers, strict=True):
        embedding = embed(predictor, image[top:bottom, left:right])
        chunks = propose_in_crop(
            predictor,
            embedding,
            grids[layer],
            config,
            crop_box=(left, top, right, bottom),
            image_size=size,
        )
        by_crop.append(_concatenated(chunks))
    return select_masks(by_crop, size, config)


def grid_without_crops(config: AutomaticConfig) -> Float[np.ndarray, "n 2"]:
    """Returns the points of an image that is not cropped.

    Raises:
        ValueError: there are layers of crops, each of which needs an embedding.
    """
    if config.crop_n_layers:
        raise ValueError(
            f"got {config.crop_n_layers=} with the embedding of a whole image, expected "
            "0: pass the image to generate_masks, which embeds every crop"
        )
    (grid,) = config.grids()
    return grid


def propose_in_crop(
    predictor: Predictor,
    embedding: ImageEmbedding,
    grid: Float[np.ndarray, "n 2"],
    config: AutomaticConfig,
    *,
    crop_box: Box | None = None,
    image_size: tuple[int, int] | None = None,
    may_run_ahead: Callable[[], bool] = lambda: True,
    masks_per_point: int = 1,
) -> Iterator[list[Proposal]]:
    """Predicts the masks of an embedded crop, chunk by chunk, duplicates included.

    The part of the decoder that depends on the image alone is computed once for all
    chunks. The device works on the next chunk while the host reads the last.

    Args:
        predictor: the model.
        embedding: of the crop.
        grid: the points, (x, y) in the unit square of the crop.
        config: options.
        crop_box: XYXY of the crop in the image; None for the whole image.
        image_size: (h, w) of the image; None for that of the crop.
        may_run_ahead: is called once a chunk; False leaves the device idle until the
            next chunk is wanted, so that a suspended iterator holds no chunk.
        masks_per_point: masks a point that there is room for at first. A chunk in which
            more pass the filters is decoded again: 3 where all do.

    Yields:
        The masks of `config.batch_size(len(grid))` points, in the image's frame.

    Raises:
        ValueError: the embedding is of other weights, or the model predicts numbers
            that are not finite.
    """
    predictor.check_embedding(embedding)
    height, width = embedding.frame.original_size
    crop_box = crop_box or (0, 0, width, height)
    size = image_size or (height, width)
    left, top = crop_box[:2]
    corner = [left, top, left, top]
    points = grid * np.array([width, height])
    area_limit = np.inf
    if config.max_mask_area_fraction is not None:
        area_limit = config.max_mask_area_fraction * size[0] * size[1]
    chunks = _decode_chunks(
        predictor,
        embedding,
        points,
        crop_box,
        size,
        config,
        may_run_ahead,
        masks_per_point,
    )
    for first, masks in chunks:
        count = int(masks.count)
        check_scores(np.asarray(masks.predicted_iou[:count]))
        proposals = []
        for row in range(count):
            x, y = points[first + int(masks.source[row]) // 3]
            box, bits = np.asarray(masks.boxes[row]), np.asarray(masks.bits[row])
            proposal = Proposal(
                counts=_counts_in_image(bits, box, crop_box, size),
                box=tuple((box + corner).tolist()),
                point=(float(x + left), float(y + top)),
                predicted_iou=float(masks.predicted_iou[row]),
                stability=float(masks.stability[row]),
                crop_box=crop_box,
            )
            if proposal.area < area_limit:
                proposals.append(proposal)
        yield proposals


def _decode_chunks(
    predictor: Predictor,
    embedding: ImageEmbedding,
    points: Float[np.ndarray, "n 2"],
    crop_box: Box,
    size: tuple[int, int],
    config: AutomaticConfig,
    may_run_ahead: Callable[[], bool],
    masks_per_point: int,
) -> Iterator[tuple[int, ChunkMasks]]:
    """Decodes the points of a crop.

    Yields:
        Index of the chunk's first point, and its masks that passed.
    """
    frame, chunk = embedding.frame, config.batch_size(len(points))
    filters = Filters(
        predicted_iou=np.float32(config.pred_iou_thresh),
        stability=np.float32(config.stability_score_thresh),
        stability_offset=np.float32(config.stability_score_offset),
        size=np.array(frame.original_size, np.int32),
        crop_box=np.array(crop_box, np.float32),
        image_box=np.array([0, 0, size[1], size[0]], np.float32),
    )
    down, across, group_sizes = make_schedule(
        frame, predictor.low_res_size, chunk, on_cpu=jax.default_backend() == "cpu"
    )
    in_model = frame.points_to_model(points)
    prepared = prepare_image(
        predictor.params, embedding.features, model=predictor.model
    )

    def start(first: int, capacity: int) -> ChunkMasks:
        # All chunks have one static length: the last one is padded with points that
        # are not valid.
        of_chunk = np.zeros((chunk, 2), np.float32)
        num_valid = len(in_model[first : first + chunk])
        of_chunk[:num_valid] = in_model[first : first + chunk]
        return find_candidates(
            predictor.params,
            prepared,
            of_chunk,
            np.int32(num_valid),
            down,
            across,
            filters,
            model=predictor.model,
            capacity=capacity,
            group_sizes=group_sizes,
        )

    # Usually room for one mask a point; few chunks have more. One that has is decoded
    # again with twice the room, and so are those after it from the start.
    capacity = min(masks_per_point, 3) * chunk
    ahead: ChunkMasks | None = None
    for first in range(0, len(points), chunk):
        masks = start(first, capacity) if ahead is None else ahead
        ahead = None
        if first + chunk < len(points) and may_run_ahead():
            ahead = start(first + chunk, capacity)
        while int(masks.count) > len(masks.source):
            capacity = min(2 * len(masks.source), 3 * chunk)
            masks = start(first, capacity)
        yield first, jax.device_get(masks)


def _counts_in_image(
    bits: UInt8[np.ndarray, "h8 w"],
    box: Int[np.ndarray, " 4"],
    crop_box: Box,
    size: tuple[int, int],
) -> Int[np.ndarray, " r"]:
    """Returns the run lengths in the image of a crop's mask, reading only its box."""
    left, top, right, bottom = box.tolist()
    of_box = bits[top // 8 : bottom // 8 + 1, left : right + 1]
    corner = crop_box[1] + top // 8 * 8, crop_box[0] + left
    return counts_of_packed(of_box, corner, size)


def _concatenated(chunks: Iterator[list[Proposal]]) -> list[Proposal]:
    return [proposal for in_chunk in chunks for proposal in in_chunk]
