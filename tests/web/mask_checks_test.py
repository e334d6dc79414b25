import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samjax.geometry.masks import counts_to_text, decode_rle, encode_rle
from samjax.web.mask_checks import check_mask
from samjax.web.refusals import Refusal
from samjax.web.schemas import RunLengths


@given(st.integers(1, 9), st.integers(1, 9), st.randoms())
def test_a_mask_is_described_as_its_pixels_are(height, width, random):
    pixels = [random.random() < 0.4 for _ in range(height * width)]
    mask = np.array(pixels).reshape(height, width)
    checked = check_mask(RunLengths(**encode_rle(mask)), (height, width))
    assert checked.area == mask.sum()
    rows, columns = np.nonzero(mask)
    expected = (0.0,) * 4
    if len(rows):
        expected = (
            *(columns.min(), rows.min()),
            *(np.ptp(columns), np.ptp(rows)),
        )
    assert checked.bbox == expected


@given(st.text(max_size=12))
def test_any_text_is_a_mask_of_the_size_or_refused(text):
    given = RunLengths(size=(5, 7), counts=text)
    try:
        checked = check_mask(given, (5, 7))
    except Refusal as refusal:
        assert refusal.status == 422
        return
    mask = decode_rle({"size": [5, 7], "counts": checked.counts})
    assert mask.shape == (5, 7) and mask.sum() == checked.area


@pytest.mark.parametrize("size", [(7, 5), (1, 35), (5, 8)])
def test_a_mask_of_another_image_is_refused(size):
    given = RunLengths(**encode_rle(np.ones(size, bool)))
    with pytest.raises(Refusal, match="expected the image's"):
        check_mask(given, (5, 7))


def counts_of(*runs: int) -> str:
    return counts_to_text(np.array(runs))


@pytest.mark.parametrize(
    ("counts", "is_mask"),
    [
        # As many runs as there can be, and the first of them of none.
        (counts_of(0, *[1] * 35), True),
        (counts_of(*[1] * 35), True),
        (counts_of(35), True),
        (counts_of(0, 0, 0, 35), True),
        (counts_of(0, 0, *[1] * 35), False),
        (counts_of(*[0] * 1000, 35), False),
        ("0" * 7_000_000, False),
        (counts_of(36), False),
    ],
)
def test_a_mask_has_no_more_runs_than_its_image_has_room_for(counts, is_mask):
    given = RunLengths(size=(5, 7), counts=counts)
    if is_mask:
        assert check_mask(given, (5, 7)).counts == counts
        return
    with pytest.raises(Refusal) as refusal:
        check_mask(given, (5, 7))
    assert len(refusal.value.message) < 300
