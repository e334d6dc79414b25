"""The folder of a project: where its store and its images are found."""

import json

import pytest

from samjax.engine.annotations import AnnotationStore
from samjax.engine.project_folder import find_project


@pytest.mark.parametrize(
    ("store", "has_images"),
    [(".", True), (".samjax", True), ("images/.samjax", True), (".samjax", False)],
)
def test_images_and_store_are_found_in_every_layout(tmp_path, store, has_images):
    images = tmp_path / "images" if has_images else tmp_path
    for folder in (images / "sub", images / ".hidden", tmp_path / store):
        folder.mkdir(parents=True, exist_ok=True)
    for name in ("b.png", "sub/a.JPG", ".hidden/c.png", "notes.txt", ".d.png"):
        (images / name).write_bytes(name.encode())
    AnnotationStore(tmp_path / store / "annotations.sqlite3").close()
    project = find_project(tmp_path)
    assert (project.images, project.state) == (images, tmp_path / store)
    assert project.names() == ["b.png", "sub/a.JPG"]
    assert project.read("sub/a.JPG") == b"sub/a.JPG"


def test_a_store_elsewhere_is_named(tmp_path):
    AnnotationStore(tmp_path / "annotations.sqlite3").close()
    (tmp_path / "photos").mkdir()
    with pytest.raises(ValueError, match="--state"):
        find_project(tmp_path / "photos")
    project = find_project(tmp_path / "photos", tmp_path)
    assert project.state == tmp_path and project.images == tmp_path / "photos"


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (None, []),
        ("{}", []),
        ("no JSON", []),
        (json.dumps({"gold_images": ["a"]}), ["a"]),
    ],
)
def test_gold_images_are_those_of_the_settings(tmp_path, content, names):
    AnnotationStore(tmp_path / "annotations.sqlite3").close()
    if content is not None:
        (tmp_path / "project.json").write_text(content)
    assert find_project(tmp_path).gold_images() == names
