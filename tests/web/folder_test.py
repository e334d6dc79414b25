import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from web.conftest import picture

from samjax.data.folders import SUFFIXES
from samjax.web import folder as folder_module
from samjax.web.folder import Gallery, image_id, natural_key
from samjax.web.refusals import Refusal

MOST = 1_000_000


@pytest.fixture
def gallery(photos) -> Gallery:
    return Gallery(photos, MOST, clock=iter(range(0, 10_000, 10)).__next__)


def names(gallery) -> list[str]:
    return [file.name for file in gallery.files()]


def test_images_are_listed_in_the_order_people_expect(gallery):
    assert names(gallery) == ["img2.png", "img10.jpg", "sub/photo.png", "text.jpg"]


def test_hidden_files_and_what_is_no_image_are_passed_over(gallery, photos):
    (photos / ".samjax").mkdir()
    (photos / ".samjax" / "x.png").write_bytes(picture())
    (photos / ".hidden.png").write_bytes(picture())
    (photos / "notes.txt").write_text("no")
    (photos / "folder.png").mkdir()
    os.mkfifo(photos / "pipe.png")
    assert names(gallery) == ["img2.png", "img10.jpg", "sub/photo.png", "text.jpg"]


def test_links_that_lead_out_are_refused_even_if_they_come_later(
    gallery, photos, tmp_path
):
    secret = tmp_path / "secret.png"
    secret.write_bytes(picture())
    (photos / "out.png").symlink_to(secret)
    (photos / "outside").symlink_to(tmp_path)
    (photos / "dangling.png").symlink_to(tmp_path / "nothing.png")
    (photos / "loop.png").symlink_to(photos / "loop.png")
    (photos / "inside.png").symlink_to(photos / "img2.png")
    (photos / ".secret.png").write_bytes(picture())
    (photos / "hidden.png").symlink_to(photos / ".secret.png")
    before = ["img2.png", "img10.jpg", "inside.png", "sub/photo.png", "text.jpg"]
    assert names(gallery) == before
    # What was an image when it was listed is a link when it is asked for.
    (photos / "img2.png").unlink()
    (photos / "img2.png").symlink_to(secret)
    (photos / "sub" / "photo.png").unlink()
    (photos / "sub").rmdir()
    (photos / "sub").symlink_to(tmp_path)
    (tmp_path / "photo.png").write_bytes(picture())
    for name in ("img2.png", "inside.png", "sub/photo.png"):
        with pytest.raises(Refusal) as refusal:
            gallery.file(image_id(name))
        assert refusal.value.status == 404


def test_a_header_is_read_again_only_when_its_file_changed(
    gallery, photos, monkeypatch
):
    read = []
    original = folder_module.read_header

    def counted(source, most):
        read.append(os.path.basename(source.name))
        return original(source, most)

    monkeypatch.setattr(folder_module, "read_header", counted)
    for _ in range(3):
        for file in gallery.files():
            gallery.header(file)
    assert sorted(read) == ["img10.jpg", "img2.png", "photo.png", "text.jpg"]
    (photos / "img2.png").write_bytes(picture((5, 7)))
    header = gallery.header(gallery.file(image_id("img2.png")))
    assert (header.width, header.height) == (7, 5)
    assert read.count("img2.png") == 2


def test_many_thousands_of_images_list_without_reading_them(tmp_path, monkeypatch):
    for number in range(3000):
        (tmp_path / f"{number}.jpg").touch()
    monkeypatch.setattr(folder_module, "read_header", None)
    gallery = Gallery(tmp_path, MOST)
    assert names(gallery) == [f"{number}.jpg" for number in range(3000)]
    monkeypatch.setattr(folder_module, "find_files", None)
    assert len(gallery.files()) == 3000


def test_what_was_added_is_found(gallery, photos):
    gallery.files()
    (photos / "added.png").write_bytes(picture())
    assert gallery.file(image_id("added.png")).name == "added.png"
    with pytest.raises(Refusal, match="no image"):
        gallery.file(image_id("never.png"))


def test_a_name_that_others_cannot_read_is_a_problem_and_no_crash(gallery, photos):
    for name in (b"b\xff.png", b"a\\b.png", b"line\nbreak.png"):
        with open(os.path.join(os.fsencode(photos), name), "wb") as file:
            file.write(picture())
    files = [file for file in gallery.files() if file.problem]
    assert len(files) == 3
    for file in files:
        assert gallery.header(gallery.file(file.id)) == file.problem
        file.name.encode()


@pytest.mark.parametrize(
    "name",
    [
        *(
            "../x.png",
            "a/../../x.png",
            "/etc/x.png",
            "..\\x.png",
            "C:\\x.png",
            "C:x.png",
        ),
        *(
            "",
            ".png",
            ".samjax/x.png",
            "a//x.png",
            "a/",
            "./x.png",
            "x.png/",
            "a\0.png",
        ),
        *("x.txt", "x", "x.svg", "x.png\n", "a" * 300 + ".png", "\ud800.png"),
        *("a/" * 20 + "x.png",),
    ],
)
def test_a_name_that_leads_elsewhere_is_refused(gallery, name):
    with pytest.raises(Refusal) as refusal:
        gallery.path_for(name)
    assert refusal.value.code == "bad_name"
    refusal.value.message.encode()


@given(st.text(st.characters(codec="utf-8"), max_size=30))
def test_whatever_the_name_its_place_is_in_the_folder(tmp_path_factory, name):
    root = tmp_path_factory.getbasetemp().resolve()
    gallery = Gallery(root, MOST)
    for ending in ("", ".png"):
        try:
            path = gallery.path_for(name + ending)
        except Refusal:
            continue
        assert os.path.normpath(path) == str(path)
        assert path.is_relative_to(root) and path != root
        assert path.suffix.lower() in SUFFIXES
        assert not any(p.startswith(".") for p in path.relative_to(root).parts)


def test_a_folder_that_is_a_link_takes_no_upload(gallery, photos, tmp_path):
    (photos / "elsewhere").symlink_to(tmp_path)
    with pytest.raises(Refusal, match="symbolic link"):
        gallery.path_for("elsewhere/x.png")


@given(st.lists(st.integers(0, 10**12), min_size=2, max_size=5, unique=True))
def test_numbers_in_names_are_compared_as_numbers(numbers):
    found = sorted((f"img{n}.png" for n in numbers), key=natural_key)
    assert found == [f"img{n}.png" for n in sorted(numbers)]


@given(st.lists(st.text(max_size=8), max_size=8, unique=True))
def test_any_names_have_one_order(unordered):
    backwards = unordered[::-1]
    assert sorted(unordered, key=natural_key) == sorted(backwards, key=natural_key)
