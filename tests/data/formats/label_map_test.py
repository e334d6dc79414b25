"""Label maps: parts over wholes, 8 and 16 bits, and only labels."""

import contextlib

import numpy as np
import pytest
from data.formats.small_records import bare, masks_of, record
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from samjax.data.formats.label_map import (
    label_map_to_masks,
    label_map_to_record,
    read_label_map,
    record_to_label_map,
    write_label_map,
)

maps = hnp.arrays(
    st.sampled_from([np.uint8, np.int32, np.uint16]),
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=9),
    elements=st.integers(0, 9),
)
mask_stacks = hnp.arrays(
    bool, st.tuples(st.integers(1, 4), st.integers(1, 8), st.integers(1, 8))
)


@given(mask_stacks)
def test_a_pixel_has_the_smallest_mask_it_is_in(masks):
    labels = record_to_label_map(record(masks))
    areas = masks.sum(axis=(1, 2))
    for place in np.ndindex(*labels.shape):
        covering = np.flatnonzero(masks[:, *place])
        # Of equal masks the last.
        key = min(((areas[i], -i) for i in covering), default=None)
        assert labels[place] == (1 - key[1] if key else 0)


def test_a_record_without_masks_is_background():
    labels = record_to_label_map(record([], size=(3, 5)))
    np.testing.assert_array_equal(labels, np.zeros((3, 5)))


@given(maps)
@example(np.zeros((2, 3), np.uint8))
@example(np.ones((2, 3), np.uint8))
@example(np.array([[1, 1], [2, 1]]))
def test_masks_of_a_label_map_are_its_labels_in_order(labels):
    image = record([], size=labels.shape)["image"]
    back = label_map_to_record(labels, image)
    masks = label_map_to_masks(labels)
    present = [label for label in np.unique(labels) if label]
    assert [one["id"] for one in back["annotations"]] == present
    assert masks.shape == (len(present), *labels.shape)
    for label, mask, ours in zip(present, masks, masks_of(back), strict=True):
        np.testing.assert_array_equal(mask, labels == label)
        np.testing.assert_array_equal(ours, mask)
    if present:
        assert back == bare(
            record(list(masks), first_id=0)
            | {
                "annotations": [
                    record([mask], first_id=int(label))["annotations"][0]
                    for label, mask in zip(present, masks, strict=True)
                ]
            }
        )


def test_disjoint_masks_are_restored_from_a_label_map():
    masks = np.zeros((3, 6, 9), bool)
    masks[0, :2], masks[1, 3:, :4], masks[2, 3:, 5:] = True, True, True
    original = record(masks)
    labels = record_to_label_map(original)
    assert label_map_to_record(labels, original["image"]) == bare(original)


@settings(max_examples=40)
@given(
    hnp.arrays(
        st.sampled_from([np.int32, np.int64, np.uint16]),
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=9),
        elements=st.integers(0, 65535) | st.integers(0, 3),
    )
)
@example(np.array([[255]]))
@example(np.array([[256]]))
@example(np.array([[65535, 0]]))
def test_a_png_gives_the_labels_back(tmp_path_factory, labels):
    path = tmp_path_factory.mktemp("labels") / "ä.png"
    write_label_map(path, labels)
    np.testing.assert_array_equal(read_label_map(path), labels)
    bits = 8 if labels.max() <= 255 else 16
    assert path.read_bytes()[24] == bits


@pytest.mark.parametrize(
    "labels", [np.array([[65536]]), np.array([[-1]]), np.zeros((0, 3), int)]
)
def test_labels_that_a_png_cannot_hold_are_refused(tmp_path, labels):
    with pytest.raises(ValueError, match="label"):
        write_label_map(tmp_path / "a.png", labels)
    assert list(tmp_path.iterdir()) == []


def test_the_indices_of_a_palette_are_labels(tmp_path):
    image = Image.fromarray(np.array([[0, 1], [2, 5]], np.uint8), "P")
    image.putpalette([7, 7, 7] * 6)
    image.save(tmp_path / "a.png")
    assert read_label_map(tmp_path / "a.png").tolist() == [[0, 1], [2, 5]]


def test_black_and_white_is_background_and_one_mask(tmp_path):
    Image.fromarray(np.eye(3, dtype=bool)).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_label_map(tmp_path / "a.png"), np.eye(3))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_colours_are_no_labels(tmp_path, mode):
    Image.new(mode, (3, 2)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match="one number per pixel"):
        read_label_map(tmp_path / "a.png")


def test_grey_that_pillow_would_scale_is_refused(tmp_path):
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return len(data).to_bytes(4) + body + zlib.crc32(body).to_bytes(4)

    header = (2).to_bytes(4) + (1).to_bytes(4) + bytes([4, 0, 0, 0, 0])
    (tmp_path / "a.png").write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes([0, 0x12])))
        + chunk(b"IEND", b"")
    )
    with pytest.raises(ValueError, match="4 bits"):
        read_label_map(tmp_path / "a.png")


def test_a_map_over_pillows_bound_is_refused_before_it_is_decoded(
    tmp_path, monkeypatch
):
    write_label_map(tmp_path / "a.png", np.zeros((30, 30), int))
    for bound in (600, 200):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", bound)
        with pytest.raises(ValueError, match="SAMJAX_MAX_PIXELS"):
            read_label_map(tmp_path / "a.png")


@settings(max_examples=150)
@given(place=st.integers(0, 10**6), byte=st.integers(0, 255), cut=st.booleans())
def test_a_damaged_png_gives_a_value_error_or_labels(
    tmp_path_factory, place, byte, cut
):
    path = tmp_path_factory.mktemp("labels") / "a.png"
    write_label_map(path, np.arange(400).reshape(20, 20))
    content = bytearray(path.read_bytes())
    place %= len(content)
    path.write_bytes(
        content[:place]
        if cut
        else content[:place] + bytes([byte]) + content[place + 1 :]
    )
    with contextlib.suppress(ValueError):
        assert read_label_map(path).ndim == 2


def test_a_map_of_another_size_than_the_image_is_refused():
    image = record([], size=(3, 5))["image"]
    with pytest.raises(ValueError, match=r"\[5, 3\] for image 1 of \[3, 5\]"):
        label_map_to_record(np.zeros((5, 3), int), image)


def test_a_missing_file_is_reported_as_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_label_map(tmp_path / "a.png")
