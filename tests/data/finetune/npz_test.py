"""MedSAM's npz files as examples: images, volumes slice by slice."""

import io
import os
import struct
import zipfile

import numpy as np
import pytest
from data.finetune.files import SIZE, noise, square

from samjax.data.finetune import NpzSource, open_examples
from samjax.evaluation.datasets.examples import read_example

A, B = square(1, 2, 5), square(10, 12, 8)
LABELS = (A + 2 * B).astype(np.uint8)


def test_a_colour_image_is_restored_to_the_bit(tmp_path):
    np.savez_compressed(tmp_path / "skin.npz", imgs=noise(0), gts=LABELS)
    source = open_examples(tmp_path / "skin.npz", "npz")
    assert len(source) == 1
    image, masks = read_example(source[0])
    np.testing.assert_array_equal(image, noise(0))
    np.testing.assert_array_equal(masks, [A, B])


def test_the_slices_of_a_volume_that_have_labels_are_examples_of_one_group(tmp_path):
    volume = noise(0)[..., 0][None] + np.arange(5, dtype=np.uint8)[:, None, None]
    labels = np.zeros((5, *SIZE), np.uint8)
    labels[1], labels[3] = A, LABELS
    np.savez_compressed(tmp_path / "ct.npz", imgs=volume, gts=labels)
    source = NpzSource(tmp_path)
    assert len(source) == 2 and source.groups == ("ct", "ct")
    assert [source[i].name for i in range(2)] == ["ct_00001.png", "ct_00003.png"]
    image, masks = read_example(source[1])
    np.testing.assert_array_equal(image, volume[3][..., None].repeat(3, axis=-1))
    np.testing.assert_array_equal(masks, [A, B])


def test_regions_of_a_label_are_separated_on_request(tmp_path):
    np.savez(tmp_path / "one.npz", imgs=noise(0), gts=A | B)
    assert len(read_example(NpzSource(tmp_path)[0])[1]) == 1
    assert len(read_example(NpzSource(tmp_path, separate=True)[0])[1]) == 2


def bad_files(folder):
    """Unusable files, each with its expected problem."""
    grey = noise(0)[..., 0]
    np.savez(folder / "float.npz", imgs=grey / 255, gts=A)
    yield r"float.npz: imgs: .* in 0.*\.\.1, expected uint8 in 0\.\.255: pass"
    np.savez(folder / "shape.npz", imgs=grey[:5], gts=LABELS)
    yield r"shape.npz: got imgs of \(5, 32\)"
    np.savez(folder / "names.npz", images=grey, masks=LABELS)
    yield "names.npz: got no array gts"
    np.savez(folder / "soft.npz", imgs=grey, gts=LABELS / 2)
    yield "soft.npz: got gts of float64"
    np.savez(folder / "objects.npz", imgs=grey, gts=np.array([[{}]], object))
    yield "objects.npz: got gts of .* object"
    (folder / "text.npz").write_text("no zip file")
    yield "text.npz: no npz file"


def test_unusable_files_are_left_out_and_reported(tmp_path):
    for said in bad_files(tmp_path):
        (file,) = tmp_path.iterdir()
        with pytest.raises(ValueError, match=said):
            NpzSource(tmp_path)
        file.unlink()
    np.savez(tmp_path / "good.npz", imgs=noise(0), gts=LABELS)
    bad = len(list(bad_files(tmp_path)))
    with pytest.warns(UserWarning, match=f"{bad} parts are left out"):
        source = NpzSource(tmp_path)
    assert source.groups == ("good",) and len(source.problems) == bad


def test_a_file_damaged_after_opening_is_none_and_not_an_error(tmp_path):
    path = tmp_path / "skin.npz"
    np.savez_compressed(path, imgs=noise(0), gts=LABELS)
    source = NpzSource(path)
    whole = path.read_bytes()
    for content in (b"", whole[:100], whole[:200] + bytes(50) + whole[250:]):
        path.write_bytes(content)
        raw = source[0]
        assert raw.image is None or raw.record is not None
        assert raw.image is None
    path.unlink()
    assert source[0].image is None


def test_an_array_too_large_to_unpack_is_refused_before_unpacking(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("samjax.data.finetune.npz._MOST_BYTES", 500)
    np.savez_compressed(tmp_path / "bomb.npz", imgs=noise(0), gts=LABELS)
    with pytest.raises(ValueError, match="split the volume"):
        NpzSource(tmp_path)


def test_an_empty_folder_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="no npz file"):
        NpzSource(tmp_path)


def write(path, members, kind=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", kind) as file:
        for name, content in members.items():
            file.writestr(name, content)


def npy(array) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def header(text: str) -> bytes:
    return (
        b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + bytes(64)
    )


def damaged_lzma(path):
    members = {name: npy(noise(0)) for name in GOOD}
    write(path, members, zipfile.ZIP_LZMA)
    content = bytearray(path.read_bytes())
    content[60] ^= 255
    content[200] ^= 255
    path.write_bytes(content)


def shape_of(path, shape: str):
    text = f"{{'descr':'|u1','fortran_order':False,'shape':{shape},}}"
    write(path, GOOD | {"gts.npy": header(text)})


GOOD = {"imgs.npy": npy(noise(0)), "gts.npy": npy(LABELS)}
ODD = {
    "a folder": lambda path: path.mkdir(),
    "a dangling link": lambda path: path.symlink_to(path.parent / "nowhere"),
    "a pipe": os.mkfifo,
    "empty": lambda path: path.write_bytes(b""),
    "damaged LZMA": damaged_lzma,
    "a shape of booleans": lambda path: shape_of(path, "(True,True)"),
    "a negative shape": lambda path: shape_of(path, "(-24,-32)"),
    "a shape beyond the file": lambda path: shape_of(path, "(24000,32000)"),
    "a shape beyond all bounds": lambda path: shape_of(path, f"({10**30},32)"),
    "a header of brackets": lambda path: write(
        path, GOOD | {"gts.npy": header("(" * 5000)}
    ),
    "a header of nothing": lambda path: write(
        path, GOOD | {"gts.npy": b"\x93NUMPY\x09\x00"}
    ),
    "labels of text": lambda path: np.savez(
        path, imgs=noise(0), gts=np.full(SIZE, "a")
    ),
    "images of text": lambda path: np.savez(path, imgs=np.full(SIZE, "a"), gts=LABELS),
    "images of time": lambda path: np.savez(
        path, imgs=np.zeros(SIZE, "datetime64[s]"), gts=LABELS
    ),
    "records": lambda path: np.savez(
        path, imgs=np.zeros(SIZE, [("a", "u1")]), gts=LABELS
    ),
    "labels beyond bounds": lambda path: np.savez(
        path, imgs=noise(0), gts=LABELS * 2.0**40
    ),
    "labels of NaN": lambda path: np.savez(
        path, imgs=noise(0), gts=np.full(SIZE, np.nan)
    ),
    "no labels": lambda path: np.savez(path, imgs=noise(0), gts=0 * LABELS),
}


@pytest.mark.parametrize("case", ODD)
def test_an_invalid_file_is_left_out_on_its_own(tmp_path, case):
    write(tmp_path / "a.npz", GOOD)
    ODD[case](tmp_path / "b.npz")
    with pytest.warns(UserWarning, match=r"1 parts are left out: \S*b\.npz"):
        source = NpzSource(tmp_path)
    assert len(source) == 1 and len(source.problems) == 1


@pytest.mark.parametrize(
    "dtype", [np.int16, np.int32, np.float32, np.float64, np.uint32]
)
@pytest.mark.parametrize(("low", "high"), [(-1000, 1500), (0, 4095), (0, 256)])
def test_values_out_of_range_are_reported_on_opening(tmp_path, dtype, low, high):
    pixels = np.linspace(low, high, SIZE[0] * SIZE[1]).reshape(SIZE)
    if dtype == np.uint32:
        pixels = np.maximum(pixels, 0)
    np.savez(tmp_path / "ct.npz", imgs=pixels.astype(dtype), gts=LABELS)
    with pytest.raises(
        ValueError, match=rf"ct\.npz: imgs: .*\.\.{high}, expected .*255"
    ):
        NpzSource(tmp_path)


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.int64, np.uint8, np.uint32])
def test_pixel_values_are_read_from_any_dtype(tmp_path, dtype):
    np.savez(tmp_path / "a.npz", imgs=noise(0).astype(dtype), gts=LABELS)
    np.testing.assert_array_equal(read_example(NpzSource(tmp_path)[0])[0], noise(0))


def test_twelve_bits_in_sixteen_are_noted_as_dark(tmp_path):
    grey = np.linspace(0, 4095, SIZE[0] * SIZE[1]).reshape(SIZE).astype(np.uint16)
    np.savez(tmp_path / "a.npz", imgs=grey, gts=LABELS)
    with pytest.warns(UserWarning, match=r"in 0\.\.4095.*0\.\.16 of 255"):
        assert len(NpzSource(tmp_path)) == 1
    np.savez(tmp_path / "a.npz", imgs=grey * 16, gts=LABELS)
    assert len(NpzSource(tmp_path)) == 1


@pytest.mark.parametrize(
    "labels",
    [
        LABELS,
        LABELS.astype(np.int64),
        LABELS.astype(np.float64),
        LABELS - 5 * (LABELS == 0),
    ],
    ids=["uint8", "int64", "whole floats", "negative"],
)
def test_labels_may_be_of_any_type(tmp_path, labels):
    labels = labels.astype(np.int16) if labels.dtype == np.uint8 else labels
    np.savez(tmp_path / "a.npz", imgs=noise(0), gts=labels)
    np.testing.assert_array_equal(read_example(NpzSource(tmp_path)[0])[1], [A, B])


def test_black_and_white_images_stay_black_and_white(tmp_path):
    np.savez(tmp_path / "a.npz", imgs=A, gts=LABELS)
    image, _ = read_example(NpzSource(tmp_path)[0])
    np.testing.assert_array_equal(image[..., 0], 255 * A)


def test_a_file_damaged_after_opening_reports_the_reason(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, imgs=noise(0), gts=LABELS)
    source = NpzSource(path)
    path.write_bytes(path.read_bytes()[:-40])
    assert "damaged" in (source[0].problem or "")
    path.unlink()
    assert "No such file" in (source[0].problem or "")
    with pytest.raises(FileNotFoundError):
        NpzSource(path)
