"""Files appear whole or not at all."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from samjax import cli
from samjax.checkpoints import save
from samjax.cli import outputs
from samjax.files import WouldReplace


def test_images_and_records_are_read_back(tmp_path, rng):
    pixels = rng.integers(0, 256, (4, 5, 3), np.uint8)
    mask = rng.random((4, 5)) < 0.5
    outputs.write_image(tmp_path / "photo.png", pixels, "segment")
    outputs.write_image(tmp_path / "mask.png", mask, "segment")
    np.testing.assert_array_equal(
        np.asarray(Image.open(tmp_path / "photo.png")), pixels
    )
    read = np.asarray(Image.open(tmp_path / "mask.png"))
    np.testing.assert_array_equal(read != 0, mask)
    content = {"image": {"width": 5}, "annotations": [{"id": 1}, {"id": 2}], "none": []}
    outputs.write_json(tmp_path / "photo.json", content, "segment")
    read = json.loads((tmp_path / "photo.json").read_text())
    assert read == {"made_with": "samjax segment"} | content
    # Its own files are replaced, and others with the word alone.
    outputs.write_json(tmp_path / "photo.json", content, "segment")
    with pytest.raises(WouldReplace):
        outputs.write_json(tmp_path / "photo.json", content, "statistics")
    outputs.write_json(tmp_path / "photo.json", content, "statistics", overwrite=True)


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, OSError])
def test_a_write_that_is_cut_off_leaves_the_old_file_and_no_other(
    tmp_path, monkeypatch, interruption
):
    path = tmp_path / "mask.png"
    path.write_text("old")

    def cut_off(path, content):
        path.write_text("half")
        raise interruption

    monkeypatch.setattr(Path, "write_bytes", cut_off)
    with pytest.raises(interruption):
        outputs.write_image(path, np.zeros((2, 2), bool), "segment", overwrite=True)
    assert [file.name for file in tmp_path.iterdir()] == ["mask.png"]
    assert path.read_text() == "old"


def test_a_folder_that_is_a_file_is_found_out_before_the_work(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(OSError):
        outputs.make_folder(tmp_path / "taken")
    with pytest.raises(OSError):
        outputs.make_folder(tmp_path / "taken" / "below")
    outputs.make_folder(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []


EVERYTHING = "everything photos --out out"
SEGMENT = "segment photos/one.png --point 5,5 --out out"
CONFIG = Path(__file__).parents[2] / "configs" / "train" / "synthetic_tiny.py"
# The command, in a folder with photos/one.png, and the user's file.
REFUSED = [
    (SEGMENT, "out/one.json"),
    (SEGMENT, "out/one_1_mask_1.png"),
    (SEGMENT, "out/one_1_overlay.png"),
    (f"{SEGMENT} --box 1,2,9,9", "out/one_2_overlay.png"),
    ("segment photos/one.png --point 5,5 --out photos", "photos/one.json"),
    (EVERYTHING, "out/one.json"),
    (EVERYTHING, "out/report.html"),
    (EVERYTHING, "out/overlays/one.jpg"),
    (EVERYTHING, "out/run/problems.json"),
    ("everything photos --out photos", "photos/one.json"),
    (f"{EVERYTHING} --shards 2", "out/sa_000000.tar"),
    (f"{EVERYTHING} --also coco", "out/coco/rle.json"),
    (f"{EVERYTHING} --also coco-polygons", "out/coco/polygons.json"),
    (f"{EVERYTHING} --also yolo", "out/yolo/labels/one.txt"),
    (f"{EVERYTHING} --also yolo", "out/yolo/data.yaml"),
    (f"{EVERYTHING} --also label-map", "out/label_maps/one.png"),
    ("export decoder --out m.onnx", "m.onnx"),
    ("export decoder --out m.onnx", "m.json"),
    ("export decoder --form pair --out m.onnx", "m.prompt.onnx"),
    ("export decoder --out m.stablehlo", "m.safetensors"),
    ("export encoder --out m.onnx", "m.json"),
    ("export encoder --out m.stablehlo", "m.safetensors"),
    ("convert tiny m.pth", "m.pth"),
    ("convert tiny m.safetensors", "m.safetensors"),
    ("convert tiny m --format samjax", "m/samjax.safetensors"),
    ("convert tiny m --format huggingface", "m/config.json"),
    ("convert tiny m --format huggingface", "m/model.safetensors"),
    ("evaluate tiny --out m.json", "m.json"),
    ("data stats photos --out m.json", "m.json"),
    (f"train {CONFIG} --out run", "run/model.safetensors"),
]


@pytest.mark.parametrize(("words", "name"), REFUSED)
def test_no_command_replaces_a_file_of_the_users(
    tmp_path, monkeypatch, capfd, words, name
):
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    Image.new("RGB", (30, 20), (200, 90, 30)).save("photos/one.png")
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text("the user's")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")}
    assert cli.main(words.split()) == 1
    said = capfd.readouterr().err
    assert name in said and "--overwrite" in said and said.count("\n") == 1
    assert Path(name).read_text() == "the user's"
    after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")}
    assert after == before


def test_no_command_writes_over_what_it_reads(tmp_path, monkeypatch, capfd, tiny_model):
    monkeypatch.chdir(tmp_path)
    model, params = tiny_model
    save("m.safetensors", model.config, params)
    mask = np.zeros((20, 30), bool)
    outputs.write_image(Path("one_1_mask_1.png"), mask, "segment")
    Image.new("RGB", (30, 20)).save("one.jpg")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for words in (
        "export decoder --model m.safetensors --out m.stablehlo --overwrite",
        "convert m.safetensors m.safetensors --dtype float16",
        "segment one.jpg --mask one_1_mask_1.png --out . --overwrite",
    ):
        assert cli.main(words.split()) == 1
        assert "read here" in capfd.readouterr().err
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    # Weights are converted in their place by those who say so.
    words = "convert m.safetensors m.safetensors --dtype float16 --overwrite"
    assert cli.main(words.split()) == 0
    assert Path("m.safetensors").stat().st_size < 0.6 * len(before["m.safetensors"])
