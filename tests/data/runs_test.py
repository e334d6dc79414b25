"""Run boundaries agree with pycocotools and nearest-neighbour resizing."""

import warnings

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samjax.data.batch import decode_runs
from samjax.data.rle_parsing import read_boundaries
from samjax.data.runs import (
    Boundaries,
    Window,
    boundaries_of_masks,
    cut_boundaries,
    drop_short_runs,
    mask_areas,
    move_boundaries,
    nearest,
    pack_boundaries,
)
from samjax.geometry.masks import counts_to_text, encode_rle

SIDE = 24
LENGTH = 2 * SIDE * SIDE

draw = jax.jit(decode_runs, static_argnums=2)


@st.composite
def sets_of_masks(draw_value):
    """Masks of one size: noise of any density, so also empty, full and of one pixel."""
    height = draw_value(st.integers(1, 40))
    width = draw_value(st.integers(1, 40))
    rng = np.random.default_rng(draw_value(st.integers(0, 2**32)))
    densities = draw_value(
        st.lists(st.sampled_from([0.0, 1.0, 0.5, 0.03, 0.97]), min_size=1, max_size=4)
    )
    masks = np.stack([rng.random((height, width)) < density for density in densities])
    single = np.zeros((1, height, width), bool)
    single[0, rng.integers(height), rng.integers(width)] = True
    return np.concatenate([masks, single])


def texts_of(masks: np.ndarray) -> list[bytes]:
    """The masks as pycocotools writes them."""
    tool = pytest.importorskip("pycocotools.mask")
    coded = tool.encode(np.asfortranarray(masks.transpose(1, 2, 0).astype(np.uint8)))
    return [rle["counts"] for rle in coded]


def decoded(masks: np.ndarray) -> np.ndarray:
    """The masks as pycocotools reads them."""
    tool = pytest.importorskip("pycocotools.mask")
    size = list(masks.shape[1:])
    coded = [{"size": size, "counts": text} for text in texts_of(masks)]
    with warnings.catch_warnings():
        # It is of before NumPy 2.
        warnings.simplefilter("ignore", DeprecationWarning)
        return tool.decode(coded).transpose(2, 0, 1).astype(bool)


def drawn(boundaries: Boundaries, visible: tuple[int, int], side: int = SIDE):
    """The masks of boundaries in the frame, drawn on the device."""
    masks = len(boundaries.good)
    rows = np.full((8, LENGTH), side * side, np.int32)
    pack_boundaries(boundaries, np.arange(masks), rows[:masks])
    return np.asarray(draw(rows, np.array(visible, np.int32), side))[:masks]


def in_frame(masks: np.ndarray, side: int = SIDE) -> np.ndarray:
    """Masks in the top left corner of the frame."""
    _, height, width = masks.shape
    return np.pad(masks, ((0, 0), (0, side - height), (0, side - width)))


@given(sets_of_masks(), st.integers(1, SIDE), st.integers(1, SIDE))
def test_boundaries_decode_to_masks_resized_by_nearest_neighbour(masks, height, width):
    size = masks.shape[1:]
    window = Window(size, nearest(size[0], height), nearest(size[1], width))
    moved = move_boundaries(read_boundaries(texts_of(masks), size), window, SIDE)
    rows = np.floor((np.arange(height) + 0.5) * size[0] / height).astype(int)
    columns = np.floor((np.arange(width) + 0.5) * size[1] / width).astype(int)
    resized = decoded(masks)[:, rows][:, :, columns]
    np.testing.assert_array_equal(drawn(moved, (height, width)), in_frame(resized))


@given(sets_of_masks(), st.data())
def test_boundaries_decode_for_any_choice_of_rows_and_columns(masks, data):
    size = masks.shape[1:]
    some_rows = st.lists(st.integers(0, size[0] - 1), min_size=1, max_size=SIDE)
    rows = np.array(sorted(data.draw(some_rows)))
    columns = np.array(
        data.draw(st.lists(st.integers(0, size[1] - 1), min_size=1, max_size=SIDE))
    )
    moved = move_boundaries(
        read_boundaries(texts_of(masks), size), Window(size, rows, columns), SIDE
    )
    seen = masks[:, rows][:, :, columns]
    assert (moved.position % SIDE < len(rows)).all()
    assert (moved.position // SIDE < len(columns)).all()
    strictly = np.diff(moved.position) > 0
    assert strictly[np.diff(moved.mask) == 0].all()
    np.testing.assert_array_equal(drawn(moved, seen.shape[1:]), in_frame(seen))
    areas = mask_areas(moved, seen.shape[1:], SIDE)
    np.testing.assert_array_equal(areas, seen.sum(axis=(1, 2)))


@pytest.mark.parametrize("length, resized", [(7, 3), (3, 7), (5, 5), (1500, 683)])
def test_nearest_indices_of_a_crop_are_a_slice_of_all_nearest_indices(length, resized):
    whole = nearest(length, resized)
    np.testing.assert_array_equal(nearest(length, resized, 1, 3), whole[1:3])
    centres = (np.arange(resized) + 0.5) * length / resized
    np.testing.assert_array_equal(whole, np.floor(centres))
    assert 0 <= whole[0] and whole[-1] < length


DAMAGED = {
    "empty": b"",
    "a byte below the code": b"0 1",
    "a byte above the code": b"4p",
    "a byte beyond ASCII": "4é".encode("latin-1"),
    "ends within a number": b"lnP",
    "too short": counts_to_text(np.array([3, 4])).encode(),
    "too long": counts_to_text(np.array([30, 40])).encode(),
    "a negative run": counts_to_text(np.array([30, -2, 14])).encode(),
    "too long a number": b"P" * 12 + b"1",
    "a number with more groups than it needs": b"S" + b"P" * 6 + b"0" + b"W1",
    "a number of 36 bits and more": b"P" * 7 + b"1",
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_rle_string_loses_only_its_own_mask(name, rng):
    masks = rng.random((3, 6, 7)) < 0.5
    texts = [encode_rle(mask)["counts"].encode() for mask in masks]
    window = Window((6, 7), np.arange(6), np.arange(7))
    for place in range(4):
        found = read_boundaries([*texts[:place], DAMAGED[name], *texts[place:]], (6, 7))
        assert list(np.flatnonzero(~found.good)) == [place]
        pixels = drawn(move_boundaries(found, window, SIDE), (6, 7))
        assert not pixels[place].any()
        np.testing.assert_array_equal(np.delete(pixels, place, 0), in_frame(masks))


@given(st.lists(st.binary(max_size=12), max_size=8))
def test_no_bytes_make_the_parser_raise(texts):
    found = read_boundaries(texts, (3, 4))
    assert len(found.good) == len(texts)
    assert (np.diff(found.position) >= 0)[np.diff(found.mask) == 0].all()
    assert set(found.mask) <= set(np.flatnonzero(found.good))
    assert ((found.position >= 0) & (found.position <= 12)).all()


def test_runs_of_no_pixels_are_sound():
    text = counts_to_text(np.array([0, 2, 0, 3, 1, 0, 6, 0])).encode()
    found = read_boundaries([text], (3, 4))
    window = Window((3, 4), np.arange(3), np.arange(4))
    expected = (np.arange(12) < 5).reshape(4, 3).T
    assert found.good.all()
    np.testing.assert_array_equal(
        drawn(move_boundaries(found, window, SIDE), (3, 4))[0],
        in_frame(expected[None])[0],
    )


def test_no_masks_give_no_boundaries():
    found = read_boundaries([], (3, 4))
    moved = move_boundaries(found, Window((3, 4), np.arange(3), np.arange(4)), SIDE)
    pack_boundaries(moved, np.arange(0), np.zeros((0, 4), np.int32))
    assert len(found.good) == 0 and len(mask_areas(moved, (3, 4), SIDE)) == 0


def test_a_mask_with_too_many_runs_loses_its_shortest():
    mask = np.zeros((20, 4), bool)
    mask[1:8, 0] = mask[10:11, 0] = mask[3:5, 1] = mask[9:20, 3] = True
    simple = np.zeros((20, 4), bool)
    simple[3, 2] = True
    texts = [encode_rle(one)["counts"].encode() for one in (simple, mask, simple)]
    window = Window((20, 4), np.arange(20), np.arange(4))
    moved = move_boundaries(read_boundaries(texts, (20, 4)), window, SIDE)
    shortened, lost = drop_short_runs(moved, 4, (20, 4), SIDE)
    mask[10, 0] = mask[3:5, 1] = False
    expected = in_frame(np.stack([simple, mask, simple]))
    np.testing.assert_array_equal(drawn(shortened, (20, 4)), expected)
    assert list(lost) == [0, 3, 0]
    np.testing.assert_array_equal(np.bincount(shortened.mask), [2, 3, 2])


def test_selected_masks_are_packed_in_the_given_order():
    masks = np.zeros((3, 6, 7), bool)
    masks[0, :2], masks[1, 2:4], masks[2, 4:] = True, True, True
    texts = [encode_rle(mask)["counts"].encode() for mask in masks]
    window = Window((6, 7), np.arange(6), np.arange(7))
    moved = move_boundaries(read_boundaries(texts, (6, 7)), window, SIDE)
    rows = np.full((2, 16), SIDE * SIDE, np.int32)
    pack_boundaries(moved, np.array([2, 0]), rows)
    pixels = draw(rows, np.array([6, 7], np.int32), SIDE)
    np.testing.assert_array_equal(pixels, in_frame(masks[[2, 0]]))


def test_many_images_are_drawn_at_once():
    rows = np.array([[[0, 5, 9, 9]], [[3, 16, 16, 16]]], np.int32)
    sizes = np.array([[4, 4], [2, 3]], np.int32)
    together = draw(rows, sizes, 4)
    for image in range(2):
        alone = draw(rows[image], sizes[image], 4)
        np.testing.assert_array_equal(together[image], alone)
    assert not np.asarray(together)[1, 0, 2:].any()
    assert not np.asarray(together)[1, 0, :, 3:].any()


@given(st.integers(0, 2**32 - 1))
def test_boundaries_of_dense_masks_and_their_differences_match_the_pixels(seed):
    rng = np.random.default_rng(seed)
    side = int(rng.integers(2, 9))
    height, width = (int(n) for n in rng.integers(1, side + 1, 2))
    masks = np.zeros((4, side, side), bool)
    masks[:, :height, :width] = rng.random((4, height, width)) < rng.random((4, 1, 1))
    masks[rng.integers(4)] = False
    masks[rng.integers(4), :height, :width] = True
    left = int(rng.integers(width))
    masks[:, :, :left] = False
    visible = (height, width)
    found = boundaries_of_masks(masks[:, :, left:], left, visible)
    assert (found.position % side < height).all()
    np.testing.assert_array_equal(pixels_of(found, visible, side), masks)
    np.testing.assert_array_equal(
        mask_areas(found, visible, side), masks.sum(axis=(1, 2))
    )
    covered = found.position[found.mask == 3]
    cut = cut_boundaries(found, covered)
    expected = masks & ~masks[3]
    np.testing.assert_array_equal(pixels_of(cut, visible, side), expected)
    np.testing.assert_array_equal(
        mask_areas(cut, visible, side), expected.sum(axis=(1, 2))
    )
    places = cut.mask.astype(np.int64) * (side * side + 1) + cut.position
    assert (np.diff(places) > 0).all()


def pixels_of(
    boundaries: Boundaries, visible: tuple[int, int], side: int
) -> np.ndarray:
    count = len(boundaries.good)
    rows = np.full((count, side * side + 1), side * side, np.int32)
    pack_boundaries(boundaries, np.arange(count), rows)
    return np.asarray(draw(rows, np.array(visible, np.int32), side))
