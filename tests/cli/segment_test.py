"""`samjax segment` from photos to files, on a small model with random weights."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_text_sam import SMALL_TEXT, random_params

import samjax
from samjax import cli
from samjax.checkpoints import save
from samjax.geometry.masks import decode_rle

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def weights(tiny_model, tmp_path_factory) -> Path:
    model, params = tiny_model
    return save(
        tmp_path_factory.mktemp("weights") / "small.safetensors", model.config, params
    )


@pytest.fixture
def photo(tmp_path, rng) -> Path:
    path = tmp_path / "photos" / "one.png"
    path.parent.mkdir()
    Image.fromarray(rng.integers(0, 256, (30, 40, 3), np.uint8)).save(path)
    return path


@pytest.fixture
def segment(weights, tmp_path, capfd):
    """Runs the command into `tmp_path/out`; returns its status, output and errors."""

    def run(*arguments, out=tmp_path / "out", model=weights):
        words = ["segment", *arguments, "--model", model, "--out", out]
        status = cli.main([str(word) for word in words])
        printed = capfd.readouterr()
        return status, printed.out, printed.err

    return run


def records(path: Path) -> list[dict]:
    return json.loads(path.read_text())["annotations"]


def test_a_photo_that_is_cut_off_costs_itself_only(segment, photo, tmp_path):
    """Its head is sound, so that it is found when its turn comes."""
    whole = photo.read_bytes()
    for name in ("a.png", "c.png"):
        photo.with_name(name).write_bytes(whole)
    photo.with_name("b.png").write_bytes(whole[:-900])
    photo.with_name("d.png").write_bytes(b"no photo")
    photo.with_name("e.heic").write_bytes(b"")
    status, _, err = segment(photo.parent, "--point", "5,5")
    assert status == 0
    assert sorted(path.stem for path in (tmp_path / "out").glob("*.json")) == [
        "a",
        "c",
        "one",
    ]
    lines = err.splitlines()
    assert len(lines) == 3 and all(line.startswith("samjax: ") for line in lines)
    for line, name in zip(lines, ("e.heic", "d.png", "b.png"), strict=True):
        assert name in line


def test_the_status_tells_when_no_photo_could_be_segmented(segment, photo):
    whole = photo.read_bytes()
    for name in ("one.png", "two.png"):
        photo.with_name(name).write_bytes(whole[:-900])
    status, _, err = segment(photo.parent, "--point", "5,5")
    assert status == 1
    assert err.splitlines()[-1] == (
        "samjax: nothing is segmented: no photo could be used"
    )


def test_a_photo_of_another_size_than_a_mask_prompt_is_skipped(
    segment, photo, tmp_path
):
    Image.new("RGB", (50, 20)).save(photo.with_name("wide.png"))
    Image.new("L", (40, 30), 255).save(tmp_path / "mask.png")
    status, out, err = segment(photo.parent, "--mask", tmp_path / "mask.png")
    assert status == 0 and f"{photo.stem}_1_overlay.png" in out
    (line,) = err.splitlines()
    assert "skipped" in line and "wide.png" in line and "(30, 40)" in line


def test_too_many_pixels_are_let_in_by_the_option_that_is_named(
    segment, photo, monkeypatch
):
    monkeypatch.delenv("SAMJAX_MAX_PIXELS", raising=False)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 300)
    status, _, err = segment(photo, "--point", "5,5")
    assert status == 1 and "--max-pixels" in err and "SAMJAX_MAX_PIXELS=1200" in err
    # Which the option sets.
    monkeypatch.setenv("SAMJAX_MAX_PIXELS", "")
    status, _, err = segment(photo, "--point", "5,5", "--max-pixels", "1200")
    assert (status, err) == (0, "")


def test_a_mask_of_numbered_objects_may_have_any_numbers(segment, photo, tmp_path):
    labels = np.zeros((30, 40), np.int32)
    labels[5:20, 5:20] = 70000
    for name, pixels in (("wide.tif", labels), ("real.tif", labels.astype(np.float32))):
        Image.fromarray(pixels).save(tmp_path / name)
        status, _, err = segment(photo, "--mask", tmp_path / name)
        assert (status, err) == (0, "")


def test_every_prompt_of_every_photo_gets_its_files(segment, photo, tmp_path, rng):
    other = photo.with_name("two.jpg")
    Image.fromarray(rng.integers(0, 256, (20, 25), np.uint8)).save(other)
    prompts = ["--point", "5,5", "--point", "9,9,0", "--box", "2,3,15,18"]
    status, out, err = segment(photo.parent, *prompts)
    assert (status, err) == (0, "")
    expected = [
        f"{name}_{ending}"
        for name in ("one", "two")
        for ending in (
            "1_mask_1.png",  # Two points mean one thing.
            "1_overlay.png",
            "2_mask_1.png",  # A lone box may mean several.
            "2_mask_2.png",
            "2_mask_3.png",
            "2_overlay.png",
        )
    ]
    files = sorted(file.name for file in (tmp_path / "out").iterdir())
    assert files == sorted([*expected, "one.json", "two.json"])
    assert "one.png: 40 x 30" in out and "two.jpg: 25 x 20" in out
    assert "point 5,5 + point 9,9 (beside): score" in out
    assert "box 2,3,15,18: score" in out and str(tmp_path / "out" / "two.json") in out


def test_records_masks_and_the_predictor_agree(segment, photo, weights, tmp_path):
    assert segment(photo, "--box", "2,3,15,18")[0] == 0
    predictor = samjax.Predictor(*samjax.load(weights))
    image = np.asarray(Image.open(photo))
    answer = predictor.predict(
        predictor.embed(image), samjax.Prompt(box=[2, 3, 15, 18])
    )
    order = np.argsort(-answer.scores)
    written = records(tmp_path / "out" / "one.json")
    assert [record["id"] for record in written] == [1, 2, 3]
    for rank, (record, index) in enumerate(zip(written, order, strict=True), start=1):
        mask = answer.masks[index]
        np.testing.assert_array_equal(decode_rle(record["segmentation"]), mask)
        picture = Image.open(tmp_path / "out" / f"one_1_mask_{rank}.png")
        np.testing.assert_array_equal(np.asarray(picture) != 0, mask)
        assert record["area"] == mask.sum()
        assert record["predicted_iou"] == pytest.approx(answer.scores[index], rel=1e-5)
        assert record["box"] == [2, 3, 15, 18] and record["prompt"] == 1
    content = json.loads((tmp_path / "out" / "one.json").read_text())
    assert content["image"] == {"file_name": "one.png", "height": 30, "width": 40}
    overlay = np.asarray(Image.open(tmp_path / "out" / "one_1_overlay.png"))
    assert overlay.shape == image.shape and (overlay != image).any()


def test_a_rough_mask_is_a_prompt(segment, photo, tmp_path):
    rough = np.zeros((30, 40), np.uint8)
    rough[5:20, 8:30] = 255
    Image.fromarray(rough).save(tmp_path / "rough.png")
    prompts = ["--mask", tmp_path / "rough.png", "--point", "9,9", "--group", "one"]
    assert segment(photo, *prompts, "--multimask", "yes")[0] == 0
    written = records(tmp_path / "out" / "one.json")
    assert len(written) == 3
    assert written[0]["mask"] == "rough.png" and written[0]["point_coords"] == [[9, 9]]


def test_texts_are_prompts_for_weights_with_text(segment, photo, tmp_path):
    weights = save(tmp_path / "text.safetensors", SMALL_TEXT, random_params())
    status, printed, errors = segment(
        photo, "--text", "a cup", "--text", "the red spoon", model=weights
    )
    assert status == 0, errors
    assert "text 'a cup': score" in printed
    found = records(tmp_path / "out" / "one.json")
    assert {record["text"] for record in found} == {"a cup", "the red spoon"}
    # A text alone is ambiguous: three masks each.
    assert len(found) == 6
    status, _, errors = segment(photo, "--text", "giraffe", model=weights)
    assert status == 1 and "knows no word" in errors and errors.count("\n") == 1


def test_one_mask_or_three_can_be_asked_for(segment, photo, tmp_path):
    for choice, number in (("yes", 3), ("no", 1), ("auto", 3)):
        out = tmp_path / choice
        status = segment(photo, "--point", "9,9", "--multimask", choice, out=out)[0]
        assert status == 0 and len(records(out / "one.json")) == number


def test_a_point_outside_the_photo_is_noted_and_answered(segment, photo, tmp_path):
    status, _, err = segment(photo, "--point", "100,5")
    assert status == 0 and records(tmp_path / "out" / "one.json")
    assert err.startswith("samjax: note: the point 100,5 is outside")
    assert "40 x 30" in err and err.count("\n") == 1


@pytest.fixture
def bad(tmp_path, photo, weights) -> dict:
    """Files with something wrong, by the names that BAD_INPUT has for them."""
    (tmp_path / "text.jpg").write_text("no photo")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "cut.png").write_bytes(photo.read_bytes()[:-200])
    (tmp_path / "broken.safetensors").write_bytes(weights.read_bytes()[:-5000])
    Image.new("L", (8, 8), 255).save(tmp_path / "small.png")
    return {"photo": photo, "here": tmp_path}


BAD_INPUT = {
    "--point 1,1": "no photo is named",
    "{photo}": "there is no prompt",
    "{here}/none.jpg --point 1,1": "none.jpg: no such file",
    "{here}/text.jpg --point 1,1": "text.jpg is not an image",
    "{here}/cut.png --point 1,1": "cut.png",
    "{here}/empty --point 1,1": "no image is there",
    "{photo} {photo} --point 1,1": "same name",
    "{photo} --point 1;1": "--point 1;1: expected X,Y",
    "{photo} --point nan,1": "--point nan,1: expected X,Y",
    "{photo} --box 9,9,1,1": "left of and above",
    "{photo} --mask {here}/no.png": "no.png: no such file",
    "{photo} --mask {here}/small.png": "(8, 8)",
    "{photo} --point 1,1 --model vit_x": "small, tiny, vit_b",
    "{photo} --point 1,1 --model {here}/broken.safetensors": "broken.safetensors",
    "{photo} --point 1,1 --out {here}/file": "file",
    "{photo} --point 1,1 --dtype float16": "float16",
    "{photo} --text cup": "no text tower",
}


@pytest.mark.parametrize("words", BAD_INPUT)
def test_bad_input_is_one_line_and_no_file(words, bad, weights, tmp_path, capfd):
    there = ["--model", str(weights), "--out", str(tmp_path / "out")]
    # What is named twice counts as it is named last.
    status = cli.main(["segment", *there, *words.format(**bad).split()])
    printed = capfd.readouterr()
    assert status in (1, 2)
    assert BAD_INPUT[words] in printed.err
    assert printed.err.startswith("samjax: ") and printed.err.count("\n") == 1
    left = [*tmp_path.rglob("*.tmp"), *tmp_path.rglob("*_mask_*")]
    assert not left


def command(*words) -> subprocess.Popen:
    """The command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "samjax", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def test_an_interruption_leaves_whole_files_only(weights, photo, tmp_path):
    """Ctrl-C in the middle of many photos: status 130, one line, nothing half written."""
    pixels = np.asarray(Image.open(photo))
    for i in range(300):
        Image.fromarray(pixels).save(photo.with_name(f"{i:03}.png"))
    out = tmp_path / "out"
    words = ["--point", "5,5", "--model", weights, "--out", out]
    # A child of a background job inherits that Ctrl-C is ignored; here it must not.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = command("segment", photo.parent, *words)
    signal.signal(signal.SIGINT, before)
    deadline = time.monotonic() + 120
    while not list(out.glob("005.json")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err == "samjax: stopped\n"
    files = list(out.iterdir())
    assert 6 <= len(list(out.glob("*.json"))) < 300
    for file in files:
        assert not file.name.startswith(".")
        if file.suffix == ".png":
            Image.open(file).load()
        else:
            assert records(file)


def test_what_was_compiled_is_kept_in_samjaxs_cache(weights, photo, tmp_path):
    environment = os.environ | {"SAMJAX_CACHE": str(tmp_path / "cache")}
    environment.pop("JAX_COMPILATION_CACHE_DIR")
    code = "import sys; from samjax.cli import main; sys.exit(main(sys.argv[1:]))"
    words = ["segment", photo, "--point", "5,5", "--model", weights, "--out", tmp_path]
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, words)],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    kept = [file.name for file in (tmp_path / "cache" / "compiled").iterdir()]
    assert any("encode" in name for name in kept)
    assert any("decode" in name for name in kept)


def test_results_are_made_again_and_a_users_file_stays(segment, photo, tmp_path):
    for _ in range(2):
        status, _, err = segment(photo, "--point", "5,5")
        assert status == 0, err
    mine = tmp_path / "out" / "one.json"
    mine.write_text("mine")
    status, _, err = segment(photo, "--point", "5,5")
    assert status == 1 and "one.json" in err and mine.read_text() == "mine"
    assert segment(photo, "--point", "5,5", "--overwrite")[0] == 0
    assert records(mine)
