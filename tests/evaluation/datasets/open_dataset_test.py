"""Layouts of files that datasets are opened from."""

import numpy as np
import pytest
from PIL import Image
from small_photo_set import TWO, draw, write_set

from samjax.data.tfds.layout import BuildConfig
from samjax.evaluation.datasets import READERS, open_dataset
from samjax.evaluation.datasets.dataset import Dataset
from samjax.evaluation.datasets.selection import Selection
from samjax.geometry.masks import decode_rle

LABELS = (TWO[0] + 2 * TWO[1]).astype(np.uint8)


def write_folder(folder):
    for kind, pixels in (("images", draw(TWO)), ("masks", LABELS)):
        (folder / kind).mkdir(parents=True)
        Image.fromarray(pixels).save(folder / kind / "a.png")


def write_npz(folder):
    folder.mkdir()
    np.savez(folder / "a.npz", imgs=draw(TWO), gts=LABELS)


def write_coco(folder):
    write_set(folder, [TWO])


def write_coco_beside_masks(folder):
    write_set(folder, [TWO])
    (folder / "masks").mkdir()
    np.savez(folder / "other.npz", imgs=draw(TWO), gts=LABELS)


@pytest.mark.parametrize(
    ("write", "reader"),
    [
        (write_folder, "folder"),
        (write_npz, "npz"),
        (write_coco, "coco"),
        (write_coco_beside_masks, "coco"),
    ],
)
def test_each_layout_gives_the_same_sample(tmp_path, write, reader):
    write(tmp_path / "mine")
    taking = [name for name, row in READERS.items() if row.takes(tmp_path / "mine")]
    assert taking[0] == reader
    dataset = open_dataset(tmp_path / "mine", Selection(min_area=500))
    assert isinstance(dataset, Dataset)
    assert dataset.name == "mine" and len(dataset) == 1
    sample = dataset[0]
    np.testing.assert_array_equal(sample.image, draw(TWO))
    np.testing.assert_array_equal(sample.targets, TWO[1:])
    assert [fields["area"] for fields in sample.objects] == [25**2]


def test_one_file_is_named_without_its_suffix(tmp_path):
    write_npz(tmp_path / "mine")
    assert open_dataset(tmp_path / "mine/a.npz", Selection()).name == "a"


def test_a_folder_of_no_layout_is_refused_with_the_expected_file(tmp_path):
    with pytest.raises(ValueError, match="no JSON file"):
        open_dataset(tmp_path, Selection())
    with pytest.raises(OSError, match="none"):
        open_dataset(tmp_path / "none", Selection())


@pytest.mark.parametrize("layout", ["tar", "tars", "extracted", "tfds", "split"])
def test_sa1b_and_datasets_of_tfds_are_read_in_place(tmp_path, layout):
    pytest.importorskip("simplejpeg", reason="tars of the tests need the extra `train`")
    if layout in ("tfds", "split"):
        pytest.importorskip("array_record", reason="TFDS needs the extra `tfds`")
    from data.tfds.small_tars import dataset_of, members, record, write_tar

    folder = tmp_path / "mine"
    tar = write_tar(folder / "sa_0.tar", members(range(1, 4)))
    path, name, reader = folder, "mine", "sa1b"
    if layout == "tar":
        path, name = tar, "sa_0"
    elif layout == "extracted":
        tar.unlink()
        for file, content in members(range(1, 4)).items():
            (folder / file).write_bytes(content)
    elif layout in ("tfds", "split"):
        path = dataset_of([tar], tmp_path / "built", BuildConfig())
        name, reader = path.resolve().name, "tfds"
    if layout == "split":
        path, name = path.with_name(f"{path.name}:train"), f"{name} train"
    taking = [kind for kind, row in READERS.items() if row.takes(path)]
    assert taking[0] == reader
    dataset = open_dataset(path, Selection(min_area=1))
    assert dataset.name == name and len(dataset) == 3
    for number in range(3):
        masks = [
            decode_rle(entry["segmentation"])
            for entry in record(number + 1)["annotations"]
        ]
        np.testing.assert_array_equal(dataset[number].targets, masks)
