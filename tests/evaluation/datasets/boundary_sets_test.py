"""Sets with boundary maps: both layouts, and every kind of defect named and left out."""

from pathlib import Path

import numpy as np
import pytest
from boundary_set_files import (
    SIZE,
    outlines,
    scene,
    write_bits,
    write_bsds,
    write_file_layout,
    write_mat,
)
from PIL import Image

from samjax.evaluation.datasets.boundary_sets import BOUNDARIES, open_boundary_set
from samjax.evaluation.datasets.dataset import Dataset, Sample, Skipped

pytest.importorskip("scipy.io", reason="BSDS500's files need the extra `eval`")

SHARED = Path(__file__).parents[4] / "shared" / "data" / "eval" / "bsds500"


@pytest.mark.parametrize("write", [write_file_layout, write_bsds])
def test_both_layouts_are_read_alike(write, tmp_path):
    dataset = open_boundary_set(write(tmp_path / "set"))
    assert isinstance(dataset, Dataset) and dataset.name == "set"
    assert len(dataset) == 2 and not dataset.skipped
    for number in range(2):
        sample = dataset[number]
        assert isinstance(sample, Sample)
        assert np.array_equal(sample.truth[BOUNDARIES], outlines(number))
        assert sample.targets.shape == (0, *SIZE)
        assert np.abs(sample.image.astype(int) - scene(number)).mean() < 3


def test_only_the_split_is_read(tmp_path):
    def change(content):
        content["images"][0]["split"] = "val"

    folder = write_file_layout(tmp_path / "file", change=change)
    assert [photo.name for photo in open_boundary_set(folder).photos] == [
        "images/1.png"
    ]
    assert len(open_boundary_set(folder, split="val")) == 1
    write_bsds(tmp_path / "bsds", 3)
    write_bsds(tmp_path / "bsds", 1, split="val")
    assert len(open_boundary_set(tmp_path / "bsds")) == 3
    assert len(open_boundary_set(tmp_path / "bsds", images=2)) == 2
    assert len(open_boundary_set(tmp_path / "bsds", split="val")) == 1
    with pytest.raises(ValueError, match="no photo of the split train"):
        open_boundary_set(tmp_path / "bsds", split="train")


def spoil_photo(folder: Path):
    (folder / "images/0.png").write_bytes(b"no picture")


def crop_photo(folder: Path):
    Image.fromarray(scene()[:-1]).save(folder / "images/0.png")


@pytest.mark.parametrize(
    ("spoil", "reason", "detail"),
    [
        (lambda of: (of / "images/0.png").unlink(), "missing photo", "No such file"),
        (spoil_photo, "damaged photo", "images/0.png"),
        (
            lambda of: (of / "boundaries/0.png").unlink(),
            "missing boundary maps",
            "no file",
        ),
        (
            lambda of: (of / "boundaries/0.png").write_bytes(b"x"),
            "damaged boundary maps",
            "0.png",
        ),
        (
            lambda of: Image.fromarray(scene()).save(of / "boundaries/0.png"),
            "damaged boundary maps",
            "mode RGB, expected grey levels",
        ),
        (
            lambda of: write_bits(of / "boundaries/0.png", outlines(0, 3)),
            "damaged boundary maps",
            "got 3 annotators, expected 2",
        ),
        (
            lambda of: write_bits(of / "boundaries/0.png", outlines() & False),
            "damaged boundary maps",
            "no pixel of a boundary",
        ),
        (crop_photo, "boundary maps of another size", "(47, 64)"),
    ],
)
def test_a_damaged_photo_is_named_and_left_out(spoil, reason, detail, tmp_path):
    folder = write_file_layout(tmp_path / "set")
    spoil(folder)
    dataset = open_boundary_set(folder)
    part = dataset[0]
    assert isinstance(part, Skipped)
    assert part.reason == reason and detail in part.detail
    assert "images/0.png" in part.detail
    assert isinstance(dataset[1], Sample)


@pytest.mark.parametrize(
    ("fields", "detail"),
    [
        ({"file_name": "../0.png"}, "got the file name"),
        ({"boundaries": "/etc/passwd"}, "boundaries: got the file name"),
        ({"boundaries": None}, "boundaries: got the file name"),
        ({"annotators": 0}, "got 0 annotators"),
        ({"file_name": "images/1.png"}, "listed twice"),
    ],
)
def test_a_damaged_entry_is_named_and_left_out(fields, detail, tmp_path):
    def change(content):
        content["images"][0] |= fields

    dataset = open_boundary_set(write_file_layout(tmp_path / "set", change=change))
    (part,) = dataset.skipped
    assert part.reason == "damaged entry" and detail in part.detail
    assert len(dataset) == 1


def test_damaged_files_of_matlab_are_named_and_left_out(tmp_path):
    folder = write_bsds(tmp_path / "set", 4)
    truths = folder / "BSDS500/data/groundTruth/test"
    (truths / "0.mat").write_bytes((truths / "0.mat").read_bytes()[:200])
    from scipy.io import savemat

    savemat(truths / "1.mat", {"other": np.ones(3)})
    write_mat(truths / "2.mat", outlines(2)[:, :-1])
    write_mat(truths / "9.mat", outlines())
    dataset = open_boundary_set(folder)
    assert [(part.name, part.reason) for part in dataset.skipped] == [
        ("9.mat", "missing photo")
    ]
    reasons = [part.reason for part in map(dataset.__getitem__, range(3))]  # type: ignore
    assert reasons == [
        *["damaged boundary maps"] * 2,
        "boundary maps of another size",
    ]
    assert isinstance(dataset[3], Sample)


def test_other_folders_are_refused(tmp_path):
    with pytest.raises(ValueError, match="expected BSDS500"):
        open_boundary_set(tmp_path)
    with pytest.raises(FileNotFoundError):
        open_boundary_set(tmp_path / "nowhere")


@pytest.mark.skipif(not SHARED.is_dir(), reason="no ../shared/data")
def test_the_test_split_of_bsds500_has_200_photos():
    dataset = open_boundary_set(SHARED)
    assert len(dataset) == 200
    sample = dataset[0]
    assert isinstance(sample, Sample)
    assert sample.truth[BOUNDARIES].shape == (5, 321, 481)
