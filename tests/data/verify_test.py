"""Verification reads datasets of every format as training does and reports problems."""

import json
import re
import tarfile

import numpy as np
import pytest
from data.finetune.files import coco_folder, noise, save, square
from data.tfds.small_tars import members, write_tar

from samjax import cli
from samjax.data.verify import guess_format

MASK = square(2, 4, 6).astype(np.uint8)


def folder(path):
    for name in ("a", "b"):
        save(path / "images" / f"{name}.png", noise(0))
        save(path / "masks" / f"{name}.png", MASK)
    return path


def npz(path):
    path.mkdir(exist_ok=True)
    np.savez(path / "a.npz", imgs=noise(0), gts=MASK)
    np.savez(path / "b.npz", imgs=noise(0), gts=MASK)
    return path


def tars(path):
    write_tar(path / "sa_000000.tar", members(range(3)))
    return path


def no_image(path):
    (path / "images" / "photo 0.png").unlink()


def other_size(path):
    save(path / "images" / "a.png", noise(0)[:10])


def damaged_npz(path):
    (path / "b.npz").write_bytes(b"no zip file")


def no_record(path):
    with tarfile.open(path / "sa_000001.tar", "w") as tar:
        save(path / "lonely.jpg", noise(0))
        tar.add(path / "lonely.jpg", "sa_9.jpg")
    (path / "lonely.jpg").unlink()


DATASETS = {
    "coco": (lambda path: coco_folder(path).parent, no_image, "No such file"),
    "folder": (
        folder,
        other_size,
        r"its image is of \(10, 32\), its masks of \(24, 32\)",
    ),
    "npz": (npz, damaged_npz, r"b\.npz: no npz file"),
    "sa1b": (tars, no_record, "sa_9: its masks are missing"),
}


@pytest.fixture
def run(capfd):
    def run(*words):
        status = cli.main(["data", "verify", *map(str, words)])
        printed = capfd.readouterr()
        return status, printed.out, printed.err

    return run


@pytest.mark.parametrize("format", DATASETS)
@pytest.mark.parametrize("is_named", [False, True])
def test_verify_reads_fine_tuning_formats_and_reports_problems(
    tmp_path, run, format, is_named
):
    make, damage, words = DATASETS[format]
    path = make(tmp_path / "data")
    assert guess_format(path) == format
    options = ["--format", format] if is_named else []
    status, out, err = run(path, *options)
    assert (status, err) == (0, "") and f"images with masks read as {format}, 0" in out
    damage(path)
    status, _, err = run(path, *options)
    assert status == 1 and len(err.splitlines()) <= 3
    assert re.search(words, err) and "1 problems" not in err.splitlines()[0]


def test_interpretations_are_notes_and_not_problems(tmp_path, run):
    path = coco_folder(tmp_path)
    content = json.loads(path.read_text())
    content["annotations"][1]["iscrowd"] = 1
    path.write_text(json.dumps(content))
    status, _, err = run(path)
    assert status == 0 and "1 of 2 masks have iscrowd" in err


def test_formats_are_detected_by_names_of_files(tmp_path):
    names = {"a.npz": "npz", "sa_1.tar": "sa1b", "instances.json": "coco"}
    for name, format in names.items():
        (tmp_path / name).touch()
        assert guess_format(tmp_path / name) == format
        (tmp_path / name).unlink()
    (tmp_path / "1.0.0").mkdir()
    assert guess_format(tmp_path) == "tfds"
    (tmp_path / "1.0.0").rename(tmp_path / "annotations")
    assert guess_format(tmp_path) == "coco"
    (tmp_path / "annotations").rename(tmp_path / "things")
    with pytest.raises(ValueError, match="looks like no dataset"):
        guess_format(tmp_path)
    with pytest.raises(FileNotFoundError):
        guess_format(tmp_path / "nowhere.json")
