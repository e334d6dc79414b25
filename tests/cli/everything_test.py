"""`samjax everything` from images to files, on a small model with random weights."""

import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from samjax import cli
from samjax.checkpoints import save
from samjax.cli.everything_outputs import draw_everything, evenly_chosen
from samjax.data.formats import read_folder, read_label_map, read_shard, read_yolo
from samjax.data.images import find_images
from samjax.geometry.masks import decode_rle, encode_rle
from samjax.inference.automatic.config import SMALL_MODEL_THRESHOLDS
from samjax.visualize import draw_masks

ROOT = Path(__file__).parents[2]
# Everything passes: with random weights no mask is good.
OPEN = ["--points-per-side", "2", "--pred-iou-thresh", "0"]
OPEN += ["--stability-score-thresh", "0", "--box-nms-thresh", "0.9"]


@pytest.fixture(scope="module")
def weights(tiny_model, tmp_path_factory) -> Path:
    model, params = tiny_model
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    return save(path, model.config, params)


@pytest.fixture
def photos(tmp_path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, shade in (("one", 90), ("two", 160)):
        pixels = np.full((30, 40, 3), shade, np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}.png")
    return folder


@pytest.fixture
def everything(weights, tmp_path, capfd):
    """Runs the command into `tmp_path/out`; returns its status, output and errors."""

    def run(*arguments, out=tmp_path / "out"):
        words = ["everything", *OPEN, *arguments, "--model", weights, "--out", out]
        status = cli.main([str(word) for word in words])
        printed = capfd.readouterr()
        return status, printed.out, printed.err

    return run


def test_the_status_tells_when_nothing_could_be_done(everything, photos, monkeypatch):
    monkeypatch.delenv("SAMJAX_MAX_PIXELS", raising=False)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 300)
    status, _, err = everything(photos, "--no-pictures")
    assert status == 1
    assert "SAMJAX_MAX_PIXELS=1200" in err
    assert "no image could be segmented" in err.splitlines()[-1]
    monkeypatch.setenv("SAMJAX_MAX_PIXELS", "")
    status, _, err = everything(photos, "--no-pictures", "--max-pixels", "1200")
    assert status == 0


def test_one_bad_image_leaves_the_status_of_the_others(everything, photos):
    (photos / "cut.png").write_bytes((photos / "one.png").read_bytes()[:60])
    status, _, err = everything(photos, "--no-pictures")
    assert status == 0 and "skipped cut.png" in err


def test_a_folder_gets_records_overlays_and_a_page(everything, photos, tmp_path):
    status, out, err = everything(photos)
    assert status == 0, err
    assert "2 images" in out and "report.html" in out
    found = list(read_folder(tmp_path / "out"))
    assert [r["image"]["file_name"] for _, r in found] == ["one.png", "two.png"]
    for _, record in found:
        with Image.open(photos / record["image"]["file_name"]) as image:
            expected = draw_everything(np.array(image), record)
        stem = Path(record["image"]["file_name"]).stem
        written = io.BytesIO()
        Image.fromarray(expected).save(
            written, format="JPEG", quality=88, comment="samjax overlay"
        )
        overlay = tmp_path / "out" / "overlays" / f"{stem}.jpg"
        assert overlay.read_bytes() == written.getvalue()
    page = (tmp_path / "out" / "report.html").read_text()
    assert "one.png" in page and page.count("data:image/jpeg") == 2


# pycocotools' own, with numpy 2.
@pytest.mark.filterwarnings("ignore:__array__ implementation")
def test_every_other_format_holds_the_same_masks(everything, photos, tmp_path):
    also = [f"--also={name}" for name in ("coco", "coco-polygons", "yolo", "label-map")]
    status, _, err = everything(photos, *also)
    assert status == 0, err
    out = tmp_path / "out"
    records = [record for _, record in read_folder(out)]
    masks = [
        decode_rle(a["segmentation"])
        for record in records
        for a in record["annotations"]
    ]
    for name in ("rle", "polygons"):
        coco = COCO(out / "coco" / f"{name}.json")
        theirs = [coco.annToMask(coco.anns[i]) for i in sorted(coco.anns)]
        np.testing.assert_array_equal(np.array(theirs, bool), masks)
    yolo = list(read_yolo(out / "yolo", photos))
    full = [mask for mask in masks if mask.any()]
    lines = [a for record in yolo for a in record["annotations"]]
    np.testing.assert_array_equal([decode_rle(a["segmentation"]) for a in lines], full)
    for record in records:
        stem = Path(record["image"]["file_name"]).stem
        labels = read_label_map(out / "label_maps" / f"{stem}.png")
        covered = np.any(
            [decode_rle(a["segmentation"]) for a in record["annotations"]], axis=0
        )
        np.testing.assert_array_equal(labels > 0, covered)


def test_outputs_are_made_again_and_what_was_corrected_stays(
    everything, photos, tmp_path
):
    also = [f"--also={name}" for name in ("coco", "yolo", "label-map")]
    for _ in range(2):
        status, _, err = everything(photos, *also)
        assert status == 0, err
    labels = tmp_path / "out" / "yolo" / "labels" / "one.txt"
    labels.write_text(corrected := "0 0.1 0.1 0.2 0.1 0.2 0.2\n")
    (photos / "two.png").rename(photos / "three.png")
    status, _, err = everything(photos, *also)
    assert status == 1 and "one.txt" in err and labels.read_text() == corrected
    assert everything(photos, *also, "--overwrite")[0] == 0
    assert labels.read_text() != corrected


def test_shards_are_written_without_pictures(everything, photos, tmp_path):
    status, _, err = everything(photos, "--shards", "2", "--hierarchy")
    assert status == 0, err
    found = list(read_shard(tmp_path / "out" / "sa_000000.tar"))
    assert [name for name, _, _ in found] == ["one.png", "two.png"]
    assert all("depth" in a for _, _, r in found for a in r["annotations"])
    assert not (tmp_path / "out" / "report.html").exists()


def test_tiles_and_a_tar_go_through_the_command(everything, photos, tmp_path):
    import tarfile

    with tarfile.open(tmp_path / "photos.tar", "w") as tar:
        tar.add(photos, arcname=".")
    status, _, err = everything(tmp_path / "photos.tar", "--tiles", "32")
    assert status == 0, err
    assert len(list(read_folder(tmp_path / "out"))) == 2


def test_a_damaged_image_is_told_and_the_others_are_done(everything, photos, tmp_path):
    (photos / "bad.jpg").write_text("no image")
    status, out, err = everything(photos)
    assert status == 0
    assert "skipped bad.jpg" in err and "1 skipped" in out
    assert "bad.jpg" in (tmp_path / "out" / "report.html").read_text()
    assert list(json.loads((tmp_path / "out/run/problems.json").read_text())) == [
        "bad.jpg"
    ]


def test_a_damaged_record_is_told_and_made_again(everything, photos, tmp_path):
    everything(photos, "--no-pictures")
    record = tmp_path / "out" / "one.json"
    before = record.read_bytes()
    record.write_bytes(b"")
    status, _, err = everything(photos, "--no-pictures")
    assert status == 0
    assert f"{record} has 0 bytes: it is made again" in err
    assert record.read_bytes() == before


def test_a_second_call_finds_all_done(everything, photos):
    everything(photos)
    status, out, _ = everything(photos)
    assert status == 0 and "0 images" in out and "2 done before" in out


def test_shares_of_a_run_leave_the_page_to_the_last_call(everything, photos, tmp_path):
    page = tmp_path / "out" / "report.html"
    for share in ("0/2", "1/2"):
        status, _, err = everything(photos, "--share", share)
        assert status == 0, err
        assert not page.exists()
    status, out, _ = everything(photos)
    assert "2 done before" in out and page.exists()


def test_no_masks_are_explained(everything, photos):
    status, _, err = everything(photos, "--pred-iou-thresh", "1000000")
    assert status == 0 and "lower --pred-iou-thresh" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--share", "2/2"], "INDEX/COUNT"),
        (["--in-flight", "0"], "use at least 1"),
        (["--points-per-batch", "0"], "points_per_batch=0"),
        (["--preset", "best"], "invalid choice"),
        (["--shards", "2", "--also", "coco"], "run of their own"),
    ],
)
def test_what_cannot_be_done_is_one_line(everything, photos, words, message):
    status, _, err = everything(photos, *words)
    assert status in (1, 2) and message in err
    assert len(err.splitlines()) == 1


def test_a_folder_of_other_settings_is_refused(everything, photos):
    everything(photos)
    status, _, err = everything(photos, "--box-nms-thresh", "0.5")
    assert status == 1 and "box_nms_thresh is 0.5, was 0.9" in err


def test_single_options_go_over_the_preset_s(weights, photos, tmp_path):
    words = ["everything", photos, "--model", weights, "--out", tmp_path / "out"]
    words += ["--preset", "dense", "--points-per-side", "2", "--no-pictures"]
    words += ["--stability-score-thresh", "0.9"]
    assert cli.main([str(word) for word in words]) == 0
    settings = json.loads((tmp_path / "out/run/settings.json").read_text())
    assert settings["points_per_side"] == 2
    assert settings["crop_n_layers"] == 1
    # The threshold that nobody gave is the model's.
    assert settings["pred_iou_thresh"] == SMALL_MODEL_THRESHOLDS["pred_iou_thresh"]
    assert settings["stability_score_thresh"] == 0.9


def test_many_masks_are_drawn_as_if_at_once(rng):
    image = rng.integers(0, 256, (20, 30, 3), np.uint8)
    masks = rng.random((70, 20, 30)) < rng.random((70, 1, 1))
    annotations = [
        {"segmentation": encode_rle(mask), "area": int(mask.sum())} for mask in masks
    ]
    drawn = draw_everything(image, {"annotations": annotations})
    np.testing.assert_array_equal(drawn, draw_masks(image, masks))


@pytest.mark.parametrize("number", [0, 1, 5, 60, 61, 1000])
def test_pictures_of_a_page_are_spread_over_the_run(number):
    places = list(evenly_chosen(number, 60))
    assert len(places) == len(set(places)) == min(number, 60)
    gaps = np.diff([*places, number])
    assert not len(gaps) or gaps.max() - gaps.min() <= 1


@pytest.mark.slow
def test_processes_that_find_each_other_share_a_run(weights, photos, tmp_path):
    command = [sys.executable, "-m", "samjax", "everything", photos, *OPEN]
    command += ["--model", weights, "--no-pictures"]
    subprocess.run([*command, "--out", tmp_path / "alone"], check=True, cwd=ROOT)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    processes = [
        subprocess.Popen(
            [*command, "--out", tmp_path / "shared"]
            + ["--distributed", f"{address},{rank},2"],
            cwd=ROOT,
            env={**os.environ, "JAX_PLATFORMS": "cpu"},
        )
        for rank in range(2)
    ]
    assert [process.wait(timeout=240) for process in processes] == [0, 0]

    def records(out):
        return {path.name: path.read_bytes() for path in out.glob("*.json")}

    assert len(records(tmp_path / "alone")) == 2
    assert records(tmp_path / "shared") == records(tmp_path / "alone")


@pytest.mark.exhaustive
def test_a_killed_run_of_60_images_ends_with_the_files_of_one_that_was_not(
    weights, tmp_path
):
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(60):
        pixels = rng.integers(0, 256, (30, 40, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:03}.png")
    command = [sys.executable, "-m", "samjax", "everything", folder, *OPEN]
    command += ["--model", weights]

    def files(out):
        found = {
            str(path.relative_to(out)): path.read_bytes()
            for path in sorted(out.rglob("*"))
            # It has the seconds that were needed.
            if path.is_file() and path.name != "report.html"
        }
        assert len(find_images([folder])) == 60
        return found

    subprocess.run([*command, "--out", tmp_path / "whole"], check=True, cwd=ROOT)
    killed = tmp_path / "killed"
    for wanted in (20,):
        process = subprocess.Popen([*command, "--out", killed], cwd=ROOT)
        while len(list(killed.glob("*.json"))) < wanted and process.poll() is None:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert wanted <= len(list(killed.glob("*.json"))) < 60
    subprocess.run([*command, "--out", killed], check=True, cwd=ROOT)
    hidden = [name for name in files(killed) if "/." in name or name.startswith(".")]
    assert len(hidden) <= 2
    expected = files(tmp_path / "whole")
    assert len(expected) == 121
    assert {n: c for n, c in files(killed).items() if n not in hidden} == expected
