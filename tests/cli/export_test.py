import json

import numpy as np
import pytest

from samjax import cli
from samjax.export import decoder_files, encoder_files
from samjax.export.files import NotTheModel
from samjax.export.verify import Agreement

onnxruntime = pytest.importorskip("onnxruntime")


def inputs_of(path):
    session = onnxruntime.InferenceSession(path)
    return {one.name: one.shape for one in session.get_inputs()}


@pytest.mark.slow
def test_the_bundled_model_is_exported_with_what_was_found_of_it(tmp_path, capsys):
    out = tmp_path / "decoder.onnx"
    assert cli.main(["export", "decoder", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert str(out) in said and "beside the model" in said
    report = json.loads((tmp_path / "decoder.json").read_text())
    assert report["agreement"]["logit_error"] < 1e-4
    assert report["agreement"]["mask_iou"] > 0.999
    assert report["files"]["decoder.onnx"]["bytes"] == out.stat().st_size
    # The six inputs of the reference's exported decoder.
    assert inputs_of(out) == {
        "image_embeddings": [1, 256, 48, 48],
        "mask_input": [1, 1, 192, 192],
        "has_mask_input": [1],
        "point_coords": [1, "points", 2],
        "point_labels": [1, "points"],
        "orig_im_size": [2],
    }

    words = ["--form", "pair", "--storage", "float16", "--out", str(out)]
    assert cli.main(["export", "decoder", *words]) == 0
    prompt = inputs_of(tmp_path / "decoder.prompt.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "decoder.prepare.onnx")
    shared = {one.name: one.shape for one in session.get_outputs()}
    assert prompt == {
        **shared,
        "point_coords": [1, "points", 2],
        "point_labels": [1, "points"],
    }
    report = json.loads((tmp_path / "decoder.json").read_text())
    assert report["storage"] == "float16"
    assert 0.99 < report["agreement"]["mask_iou"] <= 1


@pytest.mark.slow
def test_the_encoder_is_exported_and_embeds_as_the_model_does(
    tmp_path, capsys, monkeypatch
):
    out = tmp_path / "encoder.onnx"
    words = ["export", "encoder", "--storage", "float16", "--out", str(out)]
    assert cli.main(words) == 0
    assert "beside the model" in capsys.readouterr().out
    report = json.loads((tmp_path / "encoder.json").read_text())
    assert 0 < report["embedding_error"] < 0.1
    assert inputs_of(out) == {"image": ["height", "width", 3]}

    program = tmp_path / "program.stablehlo"
    assert cli.main(["export", "encoder", "--out", str(program)]) == 0
    assert "program.safetensors" in capsys.readouterr().out
    report = json.loads((tmp_path / "program.json").read_text())
    assert report["embedding_error"] < 1e-4 and report["platforms"][0] == "cpu"

    before = out.read_bytes()
    monkeypatch.setitem(encoder_files.LARGEST_ERROR, "float16", 1e-6)
    assert cli.main(words) == 1
    assert "nothing was written" in capsys.readouterr().err
    assert out.read_bytes() == before


def agreement(**changes):
    right = {
        "prompts": 1,
        "logit_error": 1e-6,
        "score_error": 1e-6,
        "mask_iou": 1.0,
        "least_mask_iou": 1.0,
    }
    return Agreement(**{**right, **changes})


@pytest.mark.parametrize(
    ("found", "storage"),
    [
        (agreement(logit_error=2e-4), "float32"),
        (agreement(score_error=2e-4), "float32"),
        (agreement(logit_error=np.nan), "float32"),
        (agreement(mask_iou=0.98), "float16"),
        (agreement(mask_iou=np.nan), "int8"),
    ],
)
def test_a_graph_that_is_not_the_model_is_not_written(found, storage):
    decoder_files.check(agreement(), storage)
    with pytest.raises(NotTheModel, match="nothing was written"):
        decoder_files.check(found, storage)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["decoders"], "decoders"),
        (["decoder", "--out", "decoder.pt"], "ends in .onnx"),
        (["decoder", "--out", "nowhere/decoder.onnx"], "no folder nowhere"),
        (["decoder", "--form", "triple"], "form"),
        (["decoder", "--out", "d.stablehlo", "--form", "pair"], "one program"),
        (["encoder", "--out", "e.stablehlo", "--storage", "int8"], "float16"),
    ],
)
def test_bad_words_end_in_one_line(words, said, capsys):
    assert cli.main(["export", *words]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
