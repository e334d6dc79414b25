"""MedSAM's npz files as examples: images, volumes slice by slice."""

import numpy as np
import pytest
from data.finetune.files import SIZE, noise, square

from samjax.data.finetune import NpzSource, open_examples
from samjax.evaluation.examples import read_example

A, B = square(1, 2, 5), square(10, 12, 8)
LABELS = (A + 2 * B).astype(np.uint8)


def test_a_colour_image_comes_back_to_the_bit(tmp_path):
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
    """Files that cannot be used, each with what is said of it."""
    grey = noise(0)[..., 0]
    np.savez(folder / "float.npz", imgs=grey / 255, gts=A)
    yield "float.npz: got imgs of float64, expected uint8"
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


def test_files_that_cannot_be_used_are_left_out_and_named(tmp_path):
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


def test_a_file_that_goes_bad_is_none_and_not_raised(tmp_path):
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


def test_what_would_unpack_to_too_much_is_refused_before_it_does(tmp_path, monkeypatch):
    monkeypatch.setattr("samjax.data.finetune.npz._MOST_BYTES", 500)
    np.savez_compressed(tmp_path / "bomb.npz", imgs=noise(0), gts=LABELS)
    with pytest.raises(ValueError, match="split the volume"):
        NpzSource(tmp_path)


def test_an_empty_folder_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="no npz file"):
        NpzSource(tmp_path)
