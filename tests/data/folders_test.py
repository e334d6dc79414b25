"""The images of a folder are the same for all callers."""

import os
import socket

import pytest
from PIL import Image

from samjax.cli.photos import find_photos
from samjax.data.finetune import FolderSource
from samjax.data.folders import OTHER_SUFFIXES, SUFFIXES, list_images, open_regular
from samjax.data.formats import read_yolo
from samjax.data.images import find_images
from samjax.data.sa1b.extracted import ExtractedSource
from samjax.web.folder import find_files


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with two photos, hidden files, links and special files."""
    place = tmp_path / "images"
    place.mkdir()
    Image.new("RGB", (6, 4)).save(place / "photo.jpg")
    Image.new("RGB", (6, 4)).save(place / "b.PNG")
    os.symlink("photo.jpg", place / "link.jpg")
    (place / "._photo.jpg").write_bytes(bytes.fromhex("0005160700020000") + bytes(99))
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
    source = ExtractedSource(folder)
    names = [source[index].name for index in range(len(source))]
    assert names and "pipe" not in names


def test_no_suffix_is_both_listed_and_skipped():
    assert not SUFFIXES & OTHER_SUFFIXES
    assert all(suffix == suffix.lower() for suffix in SUFFIXES | OTHER_SUFFIXES)
