"""`samjax everything --text`, on a small model with text and random weights."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image
from small_text_sam import SMALL_TEXT, random_params

from samjax import cli
from samjax.checkpoints import save

OPEN = ["--points-per-side", "2", "--pred-iou-thresh", "0"]
OPEN += ["--stability-score-thresh", "0"]


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for name in ("one", "two"):
        pixels = generator.integers(0, 256, (40, 64, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}.png")
    return folder


@pytest.fixture
def everything(tmp_path, photos, capfd):
    config = dataclasses.replace(SMALL_TEXT, text_similarity_width=8)
    weights = save(tmp_path / "text.safetensors", config, random_params(config))

    def run(*arguments):
        words = ["everything", photos, *OPEN, "--model", weights]
        words += ["--out", tmp_path / "out", *arguments]
        status = cli.main([str(word) for word in words])
        return status, capfd.readouterr()

    return run


def test_the_masks_of_texts_are_kept_with_their_texts(everything, tmp_path):
    texts = ["--text", "a cup", "--text", "the red spoon", "--text-threshold", "0"]
    status, printed = everything(*texts)
    assert status == 0, printed.err
    for name in ("one", "two"):
        record = json.loads((tmp_path / "out" / f"{name}.json").read_text())
        assert record["annotations"]
        for annotation in record["annotations"]:
            assert annotation["text"] in ("a cup", "the red spoon")
            assert 0 <= annotation["text_score"] <= 1
    assert "a cup, the red spoon" in (tmp_path / "out" / "report.html").read_text()
    # Other texts are another run: the records are not those of these.
    status, printed = everything("--text", "a cup")
    assert status == 1 and "texts" in printed.err


def test_a_threshold_of_texts_that_nothing_passes_is_named(everything):
    status, printed = everything("--text", "a cup", "--text-threshold", "1")
    assert status == 0 and "lower --text-threshold, " in printed.err


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--text", "giraffe"], "knows no word"),
        (["--detector", "google/owlv2"], "give some with --text"),
        (["--text", "a cup", "--text-threshold", "2"], "use 0 to 1"),
        (["--text", "a cup", "--tiles", "64"], "--tiles and --text"),
        (["--text", "a cup", "--crop-n-layers", "1"], "--crop-n-layers and --text"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_line(everything, arguments, words):
    status, printed = everything(*arguments)
    assert status != 0 and words in printed.err and printed.err.count("\n") == 1
