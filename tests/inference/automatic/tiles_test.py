"""Tiles of large images: known masks are joined exactly, in bounded memory."""

import dataclasses
import gc
import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inference.scenes import (
    Scene,
    assert_same,
    box,
    disc,
    mask_of,
    proposals,
    scene_of,
)

from samjax.data.large_images import ArrayImage
from samjax.data.schema import record_from_json, record_to_json
from samjax.geometry.run_lengths import counts_in_larger
from samjax.inference.automatic.config import AutomaticConfig
from samjax.inference.automatic.generate import generate_masks
from samjax.inference.automatic.records import Proposal
from samjax.inference.automatic.tiles import MOST_PIXELS, generate_masks_in_tiles
from samjax.inference.predictor import Predictor


@pytest.fixture(scope="module")
def predictor(tiny_model) -> Predictor:
    """A predictor, which only the last tests run."""
    return Predictor(*tiny_model)


# Three rows of four tiles, from 0, 23, 47 and 0, 23, 46, 69.
SIZE, TILES = (79, 101), {"tile_size": 32, "halo": 4}
KNOWN = {
    "inside a tile": disc(SIZE, 12, 12, 5),
    "in the overlap of two": disc(SIZE, 12, 27, 2),
    "across a seam": disc(SIZE, 12, 28, 8),
    "across the corner of four": disc(SIZE, 27, 27, 9),
    "across all": box(SIZE, 37, 0, 41, 101) | box(SIZE, 0, 50, 79, 53),
    "a frame": ~box(SIZE, 3, 3, 76, 98),
    "everything": np.ones(SIZE, bool),
    "a pixel": box(SIZE, 31, 31, 32, 32),
    "a column and on in the next": box(SIZE, 5, 9, 79, 10) | box(SIZE, 0, 10, 40, 11),
    "a diagonal": np.abs(np.subtract.outer(np.arange(79), np.arange(101))) <= 1,
}


@pytest.mark.parametrize("name", KNOWN)
def test_an_object_anywhere_is_one_mask(predictor, name):
    assert_same(scene_of([KNOWN[name]]).masks(predictor, **TILES), [KNOWN[name]])


def test_objects_that_touch_or_contain_each_other_at_a_seam_stay_apart(predictor):
    objects = [box(SIZE, 10, 5, 20, 70), box(SIZE, 20, 5, 30, 70)]
    objects += [box(SIZE, 40, 20, 60, 27), box(SIZE, 40, 27, 60, 34)]
    assert_same(scene_of(objects).masks(predictor, **TILES), objects)
    # A whole and a part that agree in all that the overlap has of them.
    objects = [box(SIZE, 10, 15, 20, 36), box(SIZE, 10, 2, 20, 52)]
    assert_same(scene_of(objects).masks(predictor, **TILES), objects)


@st.composite
def known_scenes(draw):
    """Objects that do not overlap but may touch, and tiles of any size over them."""
    size = draw(st.integers(1, 90)), draw(st.integers(1, 90))
    halo = draw(st.integers(1, 12))
    tile_size = 2 * halo + draw(st.integers(9, 40))
    free, objects = np.ones(size, bool), []
    for _ in range(draw(st.integers(1, 8))):
        y, x = draw(st.integers(0, size[0] - 1)), draw(st.integers(0, size[1] - 1))
        extent, shape = (
            draw(st.integers(0, 30)),
            draw(st.sampled_from(["disc", "row", "box"])),
        )
        mask = disc(size, y, x, extent / 2)
        if shape in ("row", "box"):
            down = extent if shape == "box" else draw(st.sampled_from([0, 90]))
            right = extent if shape == "box" else 90 - down
            mask = box(size, y, x, y + down + 1, x + right + 1)
        if not (mask & ~free).any():
            objects.append(mask)
            free &= ~mask
    return objects, {"tile_size": tile_size, "halo": halo}


@given(known_scenes())
def test_any_objects_are_found_pixel_for_pixel(predictor, known):
    objects, tiles = known
    scene = scene_of(objects)
    assert_same(scene.masks(predictor, **tiles), objects)
    for axis, length in zip((1, 0), scene.size, strict=True):
        spans = sorted({(window[axis], window[axis + 2]) for window in scene.windows})
        assert spans[0][0] == 0 and spans[-1][1] == length
        assert {stop - start for start, stop in spans} <= {tiles["tile_size"], length}
        for (_, stop), (start, _) in itertools.pairwise(spans):
            assert stop - start >= 2 * tiles["halo"]


# Tiles from 0 to 40 and from 24 to 64, whose middles meet at 32.
PAIR, HALVES = (40, 64), {"tile_size": 40, "halo": 8}
IN_FIRST, IN_SECOND = box(PAIR, 0, 0, 40, 40), box(PAIR, 0, 24, 40, 64)


def two_views(first, second) -> Scene:
    """Returns masks of the image, with scores, that differ between two tiles."""

    def find(window):
        views = second if window[0] else first
        return proposals([mask for mask, _ in views], window, [own for _, own in views])

    return Scene(PAIR, find)


def joined(ours, theirs) -> np.ndarray:
    """Returns the joined masks: each tile decides in its middle."""
    return np.where(np.arange(64) < 32, ours, theirs)


def bar(top, left, bottom, right) -> np.ndarray:
    """A rectangle in the image of two tiles."""
    return box(PAIR, top, left, bottom, right)


# What the tiles see, all with one score, and what comes of it.
VIEWS = {
    "masks of one tile are no duplicates": (
        [disc(PAIR, 20, 8, 5), disc(PAIR, 20, 8, 4.9)],
        [],
        [disc(PAIR, 20, 8, 5), disc(PAIR, 20, 8, 4.9)],
    ),
    "a whole in the overlap does not hide something large": (
        [bar(10, 0, 20, 40)],
        [bar(10, 30, 20, 45)],
        [bar(10, 0, 20, 40), bar(10, 30, 20, 45)],
    ),
    "nor if that has a small piece that looks as the whole": (
        [bar(10, 0, 20, 40), bar(10, 24, 20, 36)],
        [bar(10, 24, 20, 40)],
        [bar(10, 0, 20, 40), bar(10, 24, 20, 36)],
    ),
    "a piece that only a halo has is dropped": (
        [bar(10, 34, 20, 40), bar(25, 20, 35, 40)],
        [],
        [bar(25, 20, 35, 40)],
    ),
    "the best pair is linked": (
        [bar(10, 5, 30, 40)],
        [bar(10, 24, 24, 60), bar(10, 24, 29, 60), bar(14, 24, 30, 60)],
        [
            joined(bar(10, 5, 30, 40), bar(10, 24, 29, 60)),
            bar(10, 24, 24, 60),
            bar(14, 24, 30, 60),
        ],
    ),
}


@pytest.mark.parametrize("name", VIEWS)
def test_masks_of_two_tiles_are_joined(predictor, name):
    first, second, expected = VIEWS[name]
    scene = two_views(*([(mask, 0.9) for mask in view] for view in (first, second)))
    assert_same(scene.masks(predictor, **HALVES), expected)


@pytest.mark.parametrize("scores", [(0.8, 0.9), (0.9, 0.8), (0.9, 0.9)])
def test_of_duplicates_the_better_is_kept_unchanged(predictor, scores):
    one, other = disc(PAIR, 20, 32, 3), disc(PAIR, 20, 32, 2.9)
    scene = two_views([(one, scores[0])], [(other, scores[1])])
    best = one if scores[0] >= scores[1] else other
    assert_same(scene.masks(predictor, **HALVES), [best])
    loose = AutomaticConfig(crop_nms_thresh=0.95)
    assert_same(scene.masks(predictor, loose, **HALVES), [one, other])


@pytest.mark.parametrize("score", [0.1, 0.9])
def test_a_complete_mask_is_not_changed_by_a_truncated_one(predictor, score):
    """The piece is a pixel higher, whether it is better or not."""
    piece, whole = disc(PAIR, 19, 42, 12), disc(PAIR, 20, 42, 12)
    scene = two_views([(piece, score)], [(whole, 0.5)])
    assert_same(scene.masks(predictor, **HALVES), [whole])


def test_each_tile_decides_the_pixels_of_its_core(predictor):
    """Each has an error in its own half, which stays, and one in the other's."""
    ours = box(PAIR, 10, 5, 30, 60)
    theirs = ours & ~box(PAIR, 20, 24, 24, 28) & ~box(PAIR, 20, 36, 24, 38)
    ours = ours & ~box(PAIR, 12, 34, 14, 40) & ~box(PAIR, 12, 26, 14, 30)
    scene = two_views([(ours, 0.9)], [(theirs, 0.8)])
    assert_same(scene.masks(predictor, **HALVES), [joined(ours, theirs)])
    [record] = scene.records(predictor, **HALVES)
    assert record["point_coords"] == [[5.0, 10.0], [24.0, 10.0]]
    assert record["crop_box"] == [0, 0, 64, 40]
    areas = (ours & IN_FIRST).sum(), (theirs & IN_SECOND).sum()
    mean = np.average([0.9, 0.8], weights=areas)
    assert record["predicted_iou"] == pytest.approx(mean)
    assert record["stability_score"] == pytest.approx(mean / 2)


def test_truncated_masks_that_do_not_match_are_not_joined(predictor):
    """They share less than half of what the overlap has of them."""
    ours, theirs = box(PAIR, 10, 5, 20, 64), box(PAIR, 14, 5, 24, 64)
    scene = two_views([(ours, 0.9)], [(theirs, 0.9)])
    apart = [ours & IN_FIRST, theirs & IN_SECOND]
    assert_same(scene.masks(predictor, **HALVES), apart)
    together = scene.masks(predictor, seam_iou=0.4, **HALVES)
    assert_same(together, [joined(ours, theirs)])


@settings(max_examples=50)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(20, 60), st.integers(0))
def test_run_lengths_are_those_of_the_whole_image(
    predictor, height, width, tile_size, seed
):
    """Noise in every tile, away from edges within the image: no piece of anything."""
    generator, expected = np.random.default_rng(seed), []

    def find(window):
        left, top, right, bottom = window
        rows = slice(top + 6 * (top > 0), bottom - 6 * (bottom < height))
        columns = slice(left + 6 * (left > 0), right - 6 * (right < width))
        mask = np.zeros((height, width), bool)
        noise = generator.random(mask[rows, columns].shape)
        mask[rows, columns] = noise < generator.choice([0.1, 0.5, 0.9, 1.0])
        expected.extend([mask] if mask.any() else [])
        return proposals([mask], window)

    scene = Scene((height, width), find)
    config, tiles = AutomaticConfig(crop_nms_thresh=1), {"tile_size": tile_size}
    assert_same(scene.masks(predictor, config, halo=6, **tiles), expected)


def test_the_largest_area_is_a_fraction_of_the_whole_image(predictor):
    """The larger disc is larger than a tile, in which the smaller fills a third."""
    objects = [disc(SIZE, 40, 50, 25), disc(SIZE, 12, 12, 10)]
    for more, expected in [(0.5, objects), (-0.5, objects[1:])]:
        scene, limit = scene_of(objects), objects[0].sum() + more
        fraction = float(limit / (SIZE[0] * SIZE[1]))
        config = AutomaticConfig(max_mask_area_fraction=fraction)
        assert_same(scene.masks(predictor, config, **TILES), expected)
        for config in scene.configs:
            assert config.max_mask_area_fraction * 32 * 32 == pytest.approx(limit)


def test_records_come_row_by_row_in_a_fixed_order(predictor):
    centres = itertools.product(range(10, 79, 12), range(5, 101, 12))
    objects = [disc(SIZE, *centre, 3) for centre in centres]
    objects.append(box(SIZE, 0, 47, 79, 48))
    scene, done = scene_of(objects), []
    options = TILES | {"progress": lambda *numbers: done.append(numbers)}
    stream = scene.records(predictor, **options)
    first = next(stream)
    assert first["id"] == 0 and len(scene.windows) == 8
    records = [first, *stream]
    assert done == [(number, 12) for number in range(1, 13)]
    assert [record["id"] for record in records] == list(range(len(objects)))
    assert records == list(scene.records(predictor, **TILES))
    # The stripe begins in the first row of tiles, and ends in the last.
    [stripe] = [record["id"] for record in records if record["bbox"][3] == 78]
    above = [record["id"] for record in records if 0 < record["bbox"][1] < 20]
    assert stripe > max(above) and above == list(range(len(above)))


def test_invalid_options_are_refused_at_once(predictor):
    scene = scene_of([np.ones(SIZE, bool)])
    for tile_size, halo in [(16, 8), (16, 0), (2, None)]:
        with pytest.raises(ValueError, match="more than two halos"):
            scene.records(predictor, tile_size=tile_size, halo=halo)
    with pytest.raises(ValueError, match="an IoU from 0 to 1"):
        scene.records(predictor, seam_iou=50)
    with pytest.raises(ValueError, match="use 'coco_rle'"):
        scene.records(predictor, AutomaticConfig(output_mode="binary_mask"))
    scene.size = (MOST_PIXELS, 2)
    with pytest.raises(ValueError, match="in parts"):
        scene.records(predictor)
    assert not scene.windows


def huge_scene(size) -> Scene:
    """Squares of 200 pixels, and a stripe from top to bottom, none of them stored."""
    corners = itertools.product(*(range(900, side, 1000) for side in size))
    boxes = np.array([(y, x, y + 200, x + 200) for y, x in corners])
    boxes = np.concatenate([boxes, [(0, 10, size[0], 30)]])

    def find(window):
        left, top, right, bottom = window
        tile, found = (bottom - top, right - left), []
        seen = np.maximum(boxes, [top, left, 0, 0]) - [top, left, top, left]
        seen[:, 2:] = np.minimum(seen[:, 2:], tile)
        for y, x, low, far in seen[(seen[:, :2] < seen[:, 2:]).all(axis=1)].tolist():
            own, filled = (low - y, far - x), np.array([0, (low - y) * (far - x)])
            counts = counts_in_larger(filled, own, (y, x), tile)
            place = (x, y, far - 1, low - 1), (float(x), float(y))
            found.append(Proposal(counts, *place, 0.9, 0.9, (0, 0, *tile[::-1])))
        return found

    return Scene(size, find)


def test_memory_does_not_grow_with_the_image(predictor):
    """400 million pixels in 24 MB, of which the pixels of a tile take 12."""
    peaks = []
    for height in (5_000, 20_000):
        scene, found = huge_scene((height, 20_000)), []
        # Nothing may wait to be collected, either.
        gc.disable()
        tracemalloc.start()
        for record in scene.records(predictor, tile_size=2048, halo=128):
            found.append((record["bbox"], record["area"]))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        gc.enable()
    assert peaks[1] < 24 << 20 and peaks[1] < 1.1 * peaks[0]
    sides = [(right - left, low - top) for left, top, right, low in scene.windows]
    assert set(sides) == {(2048, 2048)}
    assert ([10, 0, 19, 19_999], 20 * 20_000) in found
    squares = [area for bbox, area in found if bbox[2:] == [199, 199]]
    assert squares == [200 * 200] * (20 * 20 - 39) and len(found) == 401


# Everything passes: with random weights no mask is good.
OPEN = AutomaticConfig(
    points_per_side=4, pred_iou_thresh=0, stability_score_thresh=0, box_nms_thresh=0.9
)
OPTIONS = {
    "default": {},
    "all doubles": {"box_nms_thresh": 1, "crop_nms_thresh": 1},
    "crops": {"crop_n_layers": 1},
    "clean-up": {"min_mask_region_area": 30},
    "areas": {"max_mask_area_fraction": 0.5},
    "runs as numbers": {"output_mode": "uncompressed_rle"},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_one_tile_gives_the_records_of_generate_masks(predictor, rng, name):
    image = rng.integers(0, 256, (40, 50, 3), np.uint8)
    config = dataclasses.replace(OPEN, **OPTIONS[name])
    records = list(generate_masks_in_tiles(predictor, ArrayImage(image), config))
    assert records == generate_masks(predictor, image, config) != []


def test_a_model_segments_tiles_smaller_than_the_image(predictor, rng):
    image = ArrayImage(rng.integers(0, 256, (60, 90, 3), np.uint8))
    config = dataclasses.replace(OPEN, min_mask_region_area=5, box_nms_thresh=1)
    records = list(
        generate_masks_in_tiles(predictor, image, config, tile_size=40, halo=6)
    )
    info = {"image_id": 1, "width": 90, "height": 60, "file_name": "one.tif"}
    text = record_to_json({"image": info, "annotations": records})
    assert record_from_json(text)["annotations"] == records
    assert len(records) > 20
    assert any(len(record["point_coords"]) > 1 for record in records)
    for record in records:
        assert mask_of(record).shape == (60, 90) and record["area"] > 0
