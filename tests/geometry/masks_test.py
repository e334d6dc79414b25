"""Run-length coding: the bytes of pycocotools, and nothing else accepted."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco

from samjax.geometry.masks import (
    counts_to_mask,
    counts_to_text,
    decode_rle,
    encode_rle,
    mask_iou,
    mask_to_counts,
    rle_area,
    text_to_counts,
)

masks = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=40))


def smooth_mask(seed: int, height: int, width: int) -> np.ndarray:
    """A mask of a few discs: long runs, as objects have them."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    mask = np.zeros((height, width), bool)
    for _ in range(generator.integers(1, 5)):
        cy, cx = generator.uniform(0, height), generator.uniform(0, width)
        mask |= (y - cy) ** 2 + (x - cx) ** 2 < generator.uniform(1, height) ** 2
    return mask


@given(masks)
def test_text_equals_pycocotools_on_noise(mask):
    expected = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    rle = encode_rle(mask)
    assert rle["counts"].encode() == expected["counts"]
    assert rle["size"] == expected["size"]


@given(st.integers(0, 10**6), st.integers(1, 500), st.integers(1, 500))
def test_text_equals_pycocotools_on_objects(seed, height, width):
    mask = smooth_mask(seed, height, width)
    expected = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert encode_rle(mask)["counts"].encode() == expected["counts"]


@given(masks)
@example(np.zeros((3, 4), bool))
@example(np.ones((3, 4), bool))
@example(np.ones((1, 1), bool))
def test_decoding_inverts_encoding(mask):
    rle = encode_rle(mask)
    np.testing.assert_array_equal(decode_rle(rle), mask)
    assert rle_area(rle) == mask.sum()
    lengths = mask_to_counts(mask)
    np.testing.assert_array_equal(counts_to_mask(lengths, mask.shape), mask)
    uncompressed = {"size": list(mask.shape), "counts": lengths.tolist()}
    np.testing.assert_array_equal(decode_rle(uncompressed), mask)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@given(masks)
def test_pycocotools_reads_what_we_write(mask):
    rle = encode_rle(mask)
    decoded = coco.decode({"size": rle["size"], "counts": rle["counts"].encode()})
    np.testing.assert_array_equal(decoded.astype(bool), mask)


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=30))
def test_numbers_of_any_size_survive_the_text(lengths):
    lengths = np.array(lengths, np.int64)
    np.testing.assert_array_equal(text_to_counts(counts_to_text(lengths)), lengths)


def test_runs_go_down_columns_and_start_with_zeros():
    """Trap 4f: column-major, a leading 0 if the first pixel is set."""
    mask = np.array([[True, False], [True, True]])
    np.testing.assert_array_equal(mask_to_counts(mask), [0, 2, 1, 1])


def test_runs_that_do_not_fill_the_mask_are_refused():
    with pytest.raises(ValueError, match="add up to 5.*expected 6 pixels"):
        decode_rle({"size": [2, 3], "counts": [2, 3]})
    with pytest.raises(ValueError, match="smallest -1"):
        decode_rle({"size": [2, 3], "counts": [7, -1]})


def test_an_enormous_size_is_refused_before_memory_is_taken():
    rle = {"size": [2**30, 2**30], "counts": "11"}
    with pytest.raises(ValueError, match="add up to"):
        decode_rle(rle)


@pytest.mark.parametrize("text", ["0\n", "\x00", "1P", "ü", "~", "P" * 20 + "0"])
def test_damaged_text_is_refused(text):
    with pytest.raises(ValueError, match="the text is damaged"):
        text_to_counts(text)


@given(st.integers(0, 4), st.integers(0, 4), st.data())
def test_mask_iou_counts_pixels(number, others, data):
    a = data.draw(hnp.arrays(bool, (number, 5, 7)))
    b = data.draw(hnp.arrays(bool, (others, 5, 7)))
    iou = mask_iou(a, b)
    for i in range(number):
        for j in range(others):
            union = (a[i] | b[j]).sum()
            expected = (a[i] & b[j]).sum() / union if union else 0.0
            assert iou[i, j] == pytest.approx(expected)


def test_mask_iou_is_exact_beyond_float32_integers():
    """Counts above 2**24 would be rounded in one float32 product."""
    height = 2**13
    mask = np.ones((1, height, 2**12), bool)
    other = mask.copy()
    other[0, 0, 0] = False
    pixels = mask.size
    assert mask_iou(mask, other)[0, 0] == (pixels - 1) / pixels
