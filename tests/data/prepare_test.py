"""Examples of any content become arrays of fixed shapes, and damage is counted."""

import io
import json

import jax
import numpy as np
import pytest
import simplejpeg
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from samjax.data.batch import decode_runs
from samjax.data.examples import RawExample
from samjax.data.prepare import Example, PrepareConfig, Status, prepare
from samjax.geometry.frame import Frame
from samjax.geometry.masks import encode_rle

SIZE = (60, 90)
CONFIG = PrepareConfig(image_size=32, masks_per_image=4, boundaries_per_mask=64)

draw = jax.jit(decode_runs, static_argnums=2)


def blobs(number: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Masks of rectangles, the first at the left."""
    masks = np.zeros((number, *size), bool)
    for i in range(number):
        masks[i, 5 + 2 * i : 40, 3 + 7 * i : 20 + 8 * i] = True
    return masks


def record_of(masks: np.ndarray, **changes) -> dict:
    height, width = masks.shape[1:]
    image = {"image_id": 1, "width": width, "height": height, "file_name": "a.jpg"}
    annotations = [{"segmentation": encode_rle(mask)} for mask in masks]
    return {"image": image | changes, "annotations": annotations}


def picture(size: tuple[int, int] = SIZE) -> np.ndarray:
    """Smooth colours, a different one in every corner."""
    rows = np.linspace(0, 255, size[0])[:, None] * np.ones(size[1])
    columns = np.linspace(0, 255, size[1])[None, :] * np.ones((size[0], 1))
    return np.stack([rows, columns, 255 - rows], axis=-1).astype(np.uint8)


def jpeg(size: tuple[int, int] = SIZE, **options) -> bytes:
    return simplejpeg.encode_jpeg(picture(size), quality=95, **options)


def raw(image: bytes | None = None, record=None, number: int = 3) -> RawExample:
    """A sound example with changes."""
    record = record_of(blobs(number)) if record is None else record
    content = record if isinstance(record, bytes) else json.dumps(record).encode()
    return RawExample("a", jpeg() if image is None else image, content)


def prepared(example: RawExample, config: PrepareConfig = CONFIG, seed: int = 0):
    made = prepare(example, config, np.random.default_rng(seed), 7)
    check_shapes(made, config)
    return made


def check_shapes(made: Example, config: PrepareConfig):
    side, slots = config.image_size, config.masks_per_image
    shapes = [(side, side, 3), (2,), (slots, config.boundaries_per_mask), (slots,)]
    kinds = [np.uint8, np.int32, np.int32, np.bool_, *[np.int32] * 2, np.int64]
    assert [field.shape for field in made] == [*shapes, (), (), ()]
    assert [field.dtype for field in made] == kinds
    assert (made.status == Status.FINE) == made.valid.any()
    height, width = made.size
    assert max(height, width) <= side
    assert not made.image[height:].any() and not made.image[:, width:].any()
    assert ((made.runs >= 0) & (made.runs <= side * side)).all()


def masks_of(made: Example, config: PrepareConfig = CONFIG) -> np.ndarray:
    pixels = np.asarray(draw(made.runs, made.size, config.image_size))
    assert not pixels[~made.valid].any()
    return pixels[made.valid]


def resized(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    rows, columns = (
        np.floor((np.arange(n) + 0.5) * old / n).astype(int)
        for n, old in zip(size, mask.shape, strict=True)
    )
    return mask[rows][:, columns]


def as_set(masks) -> set[bytes]:
    return {mask.tobytes() for mask in masks}


def test_image_and_masks_are_resized_into_the_corner_of_the_frame():
    masks = blobs(3)
    made = prepared(raw())
    frame = Frame.fit(SIZE, CONFIG.image_size)
    height, width = frame.resized_size
    assert made.status == Status.FINE and made.index == 7
    assert tuple(made.size) == (height, width)
    expected = frame.resize_image(picture())
    difference = np.abs(made.image[:height, :width].astype(int) - expected)
    assert difference.mean() < 2 and difference.max() < 12
    found = masks_of(made)
    assert as_set(found[:, :height, :width]) == as_set(
        resized(mask, (height, width)) for mask in masks
    )
    assert not found[:, height:].any() and not found[:, :, width:].any()


def test_a_parsed_record_equals_its_bytes():
    parsed = RawExample("a", jpeg(), record_of(blobs(3)))
    for one, other in zip(prepared(parsed), prepared(raw()), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_subset_of_too_many_masks_is_drawn_uniformly():
    masks = blobs(6)
    number = np.zeros(6, int)
    expected = [resized(mask, (21, 32)).tobytes() for mask in masks]
    for seed in range(300):
        made = prepared(raw(number=6), seed=seed)
        found = [mask[:21].tobytes() for mask in masks_of(made)]
        assert made.valid.all() and len(set(found)) == 4
        number += [mask in found for mask in expected]
    assert number.sum() == 1200 and (abs(number - 200) < 45).all()


def test_unusable_masks_are_replaced_by_further_draws():
    record = record_of(np.concatenate([blobs(4), np.zeros((8, *SIZE), bool)]))
    for place in range(4, 8):
        record["annotations"][place]["segmentation"]["counts"] = "damaged!"
    made = prepared(raw(record=record))
    assert made.status == Status.FINE and made.valid.all()
    assert as_set(masks_of(made)[:, :21]) == as_set(
        resized(mask, (21, 32)) for mask in blobs(4)
    )
    assert 0 < made.bad_masks <= 4


def test_masks_that_are_empty_in_the_frame_are_left_out_but_not_bad():
    masks = np.zeros((3, *SIZE), bool)
    masks[1, 10, 10] = masks[2, :, 0] = True
    made = prepared(raw(record=record_of(masks)))
    assert made.status == Status.NO_MASK and made.bad_masks == 0
    assert tuple(made.size) == (21, 32) and made.image[:21].any()


def test_an_image_without_masks_is_sound_but_has_no_target():
    assert prepared(raw(record=record_of(blobs(0)))).status == Status.NO_MASK


@pytest.mark.parametrize("share, kept", [(None, 2), (1.0, 2), (0.95, 1)])
def test_masks_of_nearly_the_whole_image_are_left_out_on_request(share, kept):
    masks = np.ones((2, *SIZE), bool)
    masks[1, 40:] = False
    config = PrepareConfig(image_size=32, masks_per_image=4, largest_mask=share)
    made = prepared(raw(record=record_of(masks)), config)
    assert made.valid.sum() == kept and made.bad_masks == 0


def test_a_mask_with_too_many_boundaries_is_bad_unless_the_loss_is_small():
    fence = np.zeros((1, *SIZE), bool)
    fence[0, ::6] = True
    blob = np.zeros((1, *SIZE), bool)
    blob[0, 10:50, 10:60] = blob[0, 55:57, 80] = True
    record = record_of(np.concatenate([fence, blob]))
    config = PrepareConfig(image_size=90, masks_per_image=4, boundaries_per_mask=100)
    made = prepared(raw(record=record), config)
    assert made.bad_masks == 1 and made.valid.sum() == 1
    blob[0, 55:57, 80] = False
    np.testing.assert_array_equal(masks_of(made, config)[0, :60], blob[0])


def png(size: tuple[int, int] = SIZE, mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture(size)).convert(mode).save(file, "png")
    return file.getvalue()


def noisy_jpeg() -> bytes:
    """A JPEG in which few bytes could be others."""
    noise = np.random.default_rng(0).integers(0, 256, (*SIZE, 3)).astype(np.uint8)
    return simplejpeg.encode_jpeg(noise, quality=95)


def corrupt(data: bytes) -> bytes:
    middle = len(data) * 2 // 3
    flipped = bytes(byte ^ 0x5A for byte in data[middle : middle + 40])
    return data[:middle] + flipped + data[middle + 40 :]


DAMAGES = {
    "no image": (raw()._replace(image=None), Status.MISSING_IMAGE),
    "no record": (raw()._replace(record=None), Status.MISSING_RECORD),
    "empty image": (raw(b""), Status.BAD_IMAGE),
    "cut off JPEG": (raw(jpeg()[:-40]), Status.BAD_IMAGE),
    "JPEG without its end": (raw(jpeg()[:-2]), Status.BAD_IMAGE),
    "JPEG of a header alone": (raw(jpeg()[:200]), Status.BAD_IMAGE),
    "flipped bytes in a JPEG": (raw(corrupt(noisy_jpeg())), Status.BAD_IMAGE),
    "cut off PNG": (raw(png()[:-300]), Status.BAD_IMAGE),
    "text": (raw(b"<html>"), Status.BAD_IMAGE),
    "no JSON": (raw(record=b"{"), Status.BAD_RECORD),
    "empty record": (raw(record=b""), Status.BAD_RECORD),
    "JSON of a list": (raw(record=b"[]"), Status.BAD_RECORD),
    "JSON of a number": (raw(record=b"1"), Status.BAD_RECORD),
    "no UTF-8": (raw(record=b"\xff\xfe\xfa"), Status.BAD_RECORD),
    "deep JSON": (raw(record=b"[" * 100_000), Status.BAD_RECORD),
    "annotations of a number": (
        raw(record=record_of(blobs(1)) | {"annotations": 3}),
        Status.BAD_RECORD,
    ),
    "no height": (raw(record=record_of(blobs(1), height=None)), Status.BAD_RECORD),
    "height of 0": (raw(record=record_of(blobs(1), height=0)), Status.BAD_RECORD),
    "a vast height": (raw(record=record_of(blobs(1), height=2**40)), Status.BAD_RECORD),
    "sides swapped": (
        raw(record=record_of(blobs(1), height=90, width=60)),
        Status.SIZE_MISMATCH,
    ),
    "another size": (raw(jpeg((60, 80))), Status.SIZE_MISMATCH),
    "a larger image": (raw(jpeg((120, 180))), Status.SIZE_MISMATCH),
    "masks of another size": (
        raw(
            record=record_of(blobs(2))
            | {"annotations": record_of(blobs(2, (90, 60)))["annotations"]}
        ),
        Status.BAD_MASKS,
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_gives_a_status_and_no_masks(name):
    example, status = DAMAGES[name]
    made = prepared(example)
    assert made.status == status
    assert not made.valid.any()


BAD_ANNOTATIONS = [
    None,
    3,
    {},
    {"segmentation": None},
    {"segmentation": {"size": [60, 90]}},
    {"segmentation": {"size": 60, "counts": "a"}},
    {"segmentation": {"size": [60, 90], "counts": 10**12}},
    {"segmentation": {"size": [60, 90], "counts": [5400]}},
    {"segmentation": {"size": [60, 90], "counts": ""}},
    {"segmentation": {"size": [60, 90], "counts": "ünï"}},
    {"segmentation": {"size": [90, 60], "counts": "`m1"}},
]


@pytest.mark.parametrize("annotation", BAD_ANNOTATIONS)
def test_only_the_damaged_annotation_is_left_out(annotation):
    record = record_of(blobs(2))
    record["annotations"].insert(1, annotation)
    made = prepared(raw(record=record))
    assert (made.status, made.bad_masks, made.valid.sum()) == (Status.FINE, 1, 2)


@given(st.data())
def test_preparation_never_raises(data):
    """JSON of any form, and damage anywhere in image and record."""
    anything = st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["image", "annotations", "size", "counts", "height"]),
                inner,
                max_size=3,
            )
        ),
        max_leaves=8,
    )
    record: dict = record_of(blobs(3))
    place = data.draw(st.sampled_from(["all", "image", "annotations", "one", "mask"]))
    value = data.draw(anything)
    if place == "all":
        record = value
    elif place == "one":
        record["annotations"][1] = value
    elif place == "mask":
        record["annotations"][1]["segmentation"] = value
    else:
        record[place] = value
    image = bytearray(jpeg() if data.draw(st.booleans()) else png())
    for _ in range(data.draw(st.integers(0, 3))):
        image[data.draw(st.integers(0, len(image) - 1))] = data.draw(
            st.integers(0, 255)
        )
    prepared(RawExample("a", bytes(image), json.dumps(record).encode()))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "1", "I;16"])
def test_other_formats_than_jpeg_are_read_too(mode):
    made = prepared(raw(png(mode=mode)))
    assert made.status == Status.FINE and made.image[:21, :32].any()


def test_a_grey_jpeg_is_read_as_rgb():
    file = io.BytesIO()
    Image.fromarray(picture()).convert("L").save(file, "jpeg", quality=95)
    made = prepared(raw(file.getvalue()))
    assert made.status == Status.FINE
    np.testing.assert_array_equal(made.image[..., 0], made.image[..., 2])


def test_an_image_is_not_turned_by_its_orientation():
    """The masks refer to the pixels as stored."""
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture()).save(file, "jpeg", quality=95, exif=exif)
    np.testing.assert_allclose(
        prepared(raw(file.getvalue())).image.astype(int),
        prepared(raw()).image.astype(int),
        atol=12,
    )


def test_a_smaller_copy_of_the_image_has_the_same_masks():
    small = Frame.fit(SIZE, 45).resized_size
    whole, copy = prepared(raw()), prepared(raw(jpeg(small)))
    assert copy.status == Status.FINE
    np.testing.assert_array_equal(whole.runs, copy.runs)
    difference = np.abs(whole.image.astype(int) - copy.image)
    assert difference.mean() < 2


def test_an_image_smaller_than_the_frame_grows_with_its_masks():
    config = PrepareConfig(image_size=200, masks_per_image=4)
    made = prepared(raw(), config)
    assert tuple(made.size) == (133, 200)
    assert as_set(masks_of(made, config)[:, :133]) == as_set(
        resized(mask, (133, 200)) for mask in blobs(3)
    )


def flat_record() -> dict:
    """One mask: the rows and columns at which green and red are above a half."""
    pixels = picture()
    return record_of(((pixels[..., 0] > 127) & (pixels[..., 1] > 127))[None])


@pytest.mark.parametrize("jitter", [None, (0.4, 0.9), (1.0, 3.0), (0.3, 2.5)])
@pytest.mark.parametrize("flip", [False, True])
def test_masks_stay_on_their_pixels_through_flips_and_jitter(jitter, flip):
    config = PrepareConfig(image_size=64, masks_per_image=1, flip=flip, jitter=jitter)
    seen = set()
    for seed in range(12):
        made = prepared(raw(png(), flat_record()), config, seed)
        height, width = made.size
        seen.add((height, width, made.image[0, 0, 1] > made.image[0, width - 1, 1]))
        pixels = made.image[:height, :width].astype(int)
        expected = (pixels[..., 0] > 127) & (pixels[..., 1] > 127)
        if not made.valid.any():
            assert made.status == Status.NO_MASK and expected.mean() < 0.05
            continue
        found = masks_of(made, config)[0, :height, :width]
        # Within a pixel of the border the two resizings differ.
        near = (abs(pixels[..., 0] - 127) < 16) | (abs(pixels[..., 1] - 127) < 16)
        np.testing.assert_array_equal(found[~near], expected[~near])
    assert len(seen) > 1 or not (flip or jitter)


def test_jitter_draws_scales_uniformly_and_crops_anywhere():
    config = PrepareConfig(image_size=64, masks_per_image=1, jitter=(0.5, 1.0))
    sides = [prepared(raw(), config, seed).size.max() for seed in range(200)]
    assert min(sides) < 36 and max(sides) > 60 and 46 < np.mean(sides) < 50
    config = PrepareConfig(image_size=64, masks_per_image=1, jitter=(2.0, 2.0))
    corners = {
        tuple(prepared(raw(), config, seed).image[0, 0, :2]) for seed in range(20)
    }
    assert len(corners) > 15


def test_the_same_generator_makes_the_same_example():
    config = PrepareConfig(
        image_size=32, masks_per_image=2, flip=True, jitter=(0.5, 2.0)
    )
    for seed in range(5):
        one, other = (prepared(raw(), config, seed) for _ in range(2))
        for field, same in zip(one, other, strict=True):
            np.testing.assert_array_equal(field, same)


def test_a_config_out_of_bounds_is_refused_with_all_reasons():
    with pytest.raises(ValueError, match=r"image_size=0.*boundaries.*=7.*jitter"):
        PrepareConfig(
            image_size=0, masks_per_image=1, boundaries_per_mask=7, jitter=(2.0, 1.0)
        )
