"""The images of a folder are the same for all callers."""

import json
import os
import socket
import tarfile

import numpy as np
import pytest
from PIL import Image

from samjax.checkpoints import load
from samjax.cli.photos import find_photos
from samjax.data.finetune import CocoSource, FolderSource, NpzSource
from samjax.data.folders import OTHER_SUFFIXES, SUFFIXES, list_files, list_images
from samjax.data.formats import read_label_map, read_yolo
from samjax.data.images import find_images
from samjax.data.sa1b.extracted import ExtractedSource
from samjax.data.sa1b.source import find_tars
from samjax.data.verify import guess_format
from samjax.evaluation.datasets import READERS
from samjax.files import open_regular
from samjax.web.folder import find_files


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with two photos, hidden files, links and special files."""
    place = tmp_path / "images"
    place.mkdir()
    Image.new("RGB", (6, 4)).save(place / "photo.jpg")
    Image.new("RGB", (6, 4)).save(place / "b.PNG")
    os.symlink("photo.jpg", place / "link.jpg")
    (place / "._photo.jpg").write_bytes(LEFT_BY_MACOS)
    (place / ".hidden.png").write_bytes(b"")
    (place / "tiles.png").mkdir()
    (place / "notes.txt").write_text("no photo")
    (place / "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    (place / "old.jfif").write_bytes(b"")
    os.symlink("/nowhere/x.jpg", place / "dangling.jpg")
    os.symlink("circle.jpg", place / "circle.jpg")
    os.mkfifo(place / "pipe.jpg")
    os.mkfifo(place / "pipe.heic")
    # Names of sockets are bounded, so it is made from within.
    monkeypatch.chdir(place)
    with socket.socket(socket.AF_UNIX) as one:
        one.bind("socket.jpg")
    return place


LEFT_BY_MACOS = bytes.fromhex("0005160700020000") + bytes(99)


def test_files_by_suffix_are_listed_in_order_and_without_hidden_ones(tmp_path):
    for name in ("b.NPZ", "a.npz", "._a.npz", ".npz", "c.npz.part"):
        (tmp_path / name).touch()
    assert [path.name for path in list_files(tmp_path, ".npz")] == ["a.npz", "b.NPZ"]


def npz_files(folder):
    pixels = np.eye(8, dtype=np.uint8)
    np.savez(folder / "a.npz", imgs=pixels, gts=pixels)
    return lambda: len(NpzSource(folder))


def coco_file(folder):
    Image.new("RGB", (8, 8)).save(folder / "a.png")
    image = {"id": 1, "file_name": "a.png", "height": 8, "width": 8}
    mask = {"id": 1, "image_id": 1, "segmentation": [[1, 1, 6, 1, 6, 6]]}
    content = {"images": [image], "annotations": [mask]}
    (folder / "instances.json").write_text(json.dumps(content))
    return lambda: len(CocoSource(folder))


def tars(folder):
    with tarfile.open(folder / "sa_0.tar", "w"):
        pass
    return lambda: len(find_tars(str(folder)))


@pytest.mark.parametrize(
    ("make", "format", "reader"),
    [(npz_files, "npz", "npz"), (coco_file, "coco", "coco"), (tars, "sa1b", "sa1b")],
)
def test_what_macos_leaves_beside_a_dataset_is_not_part_of_it(
    tmp_path, make, format, reader, recwarn
):
    count = make(tmp_path)
    for path in list(tmp_path.iterdir()):
        path.with_name(f"._{path.name}").write_bytes(LEFT_BY_MACOS)
    (tmp_path / "._x.json").write_bytes(LEFT_BY_MACOS)
    (tmp_path / "._x.npz").write_bytes(LEFT_BY_MACOS)
    assert count() == 1
    assert guess_format(tmp_path) == format
    first = next(name for name in READERS if READERS[name].takes(tmp_path))
    assert first == reader
    assert [str(warning.message) for warning in recwarn] == []


NAMES = ["b.PNG", "link.jpg", "photo.jpg"]


def test_a_listing_has_the_images_and_the_names_of_skipped_files(folder):
    listing = list_images(folder)
    assert [path.name for path in listing.images] == NAMES
    assert listing.passed_over == ("IMG_1.HEIC", "old.jfif")
    assert "2 files were passed over (IMG_1.HEIC, old.jfif)" in str(
        listing.remark(folder)
    )


@pytest.mark.filterwarnings("ignore:.*passed over:UserWarning")
@pytest.mark.parametrize(
    "look",
    [
        lambda folder: [path.name for path in find_photos([folder])],
        lambda folder: [item.name for item in find_images([folder])],
        lambda folder: sorted(file.name for file in find_files(folder)),
        lambda folder: [one["image"]["file_name"] for one in of_yolo(folder)],
        lambda folder: list(of_masks(folder)),
    ],
    ids=["segment", "everything", "serve", "yolo", "folder"],
)
def test_all_callers_find_the_same_images(folder, look):
    assert look(folder) == NAMES


def of_yolo(folder):
    (folder.parent / "labels").mkdir()
    return read_yolo(folder.parent, folder)


def of_masks(folder):
    (folder.parent / "masks").mkdir()
    for name in NAMES:
        stem = name.partition(".")[0]
        mask = Image.new("L", (6, 4))
        mask.putpixel((1, 1), 1)
        mask.save(folder.parent / "masks" / f"{stem}.png")
    source = FolderSource(folder.parent)
    assert any("passed over" in problem for problem in source.problems)
    return (source[index].name for index in range(len(source)))


def test_skipped_files_are_reported(folder, capsys):
    with pytest.warns(UserWarning, match="2 files were passed over"):
        find_images([folder])
    find_photos([folder])
    assert "passed over (IMG_1.HEIC, old.jfif)" in capsys.readouterr().err


def test_a_folder_without_images_lists_the_skipped_files(tmp_path):
    (tmp_path / "IMG_1.HEIC").write_bytes(b"")
    for look in (find_images, find_photos):
        with pytest.raises(ValueError, match=r"passed over \(IMG_1.HEIC\)"):
            look([tmp_path])


def test_a_pipe_is_refused_without_blocking(folder):
    with pytest.raises(ValueError, match=r"pipe.jpg is a pipe"):
        open_regular(folder / "pipe.jpg")
    with pytest.raises(ValueError, match=r"pipe.jpg is a pipe"):
        find_photos([folder / "pipe.jpg"])
    (item,) = find_images([folder / "pipe.jpg"])
    with pytest.raises(ValueError, match=r"pipe.jpg is a pipe"):
        item.read()
    with pytest.raises(IsADirectoryError):
        open_regular(folder)
    os.mkfifo(folder / "pipe.json")
    os.mkfifo(folder / "pipe.npz")
    os.mkfifo(folder / "pipe.png")
    for read in (
        lambda: CocoSource(folder / "pipe.json"),
        lambda: NpzSource(folder / "pipe.npz"),
        lambda: guess_format(folder / "pipe.npz"),
        lambda: read_label_map(folder / "pipe.png"),
        lambda: load(folder / "pipe.heic"),
    ):
        with pytest.raises(ValueError, match="is a pipe"):
            read()
    source = ExtractedSource(folder)
    names = [source[index].name for index in range(len(source))]
    assert names and "pipe" not in names


def test_no_suffix_is_both_listed_and_skipped():
    assert not SUFFIXES & OTHER_SUFFIXES
    assert all(suffix == suffix.lower() for suffix in SUFFIXES | OTHER_SUFFIXES)
