"""The model as StableHLO: run from its files, as somebody without samjax would."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
from conftest import random_params
from small_export import CONFIG, embedding_of, params_of

from samjax.export import encoder_files, stablehlo
from samjax.export.encoder_files import export_encoder
from samjax.export.files import NotTheModel
from samjax.export.verify import draw_prompts, predict
from samjax.models import Sam

# With a norm that only some models have.
MODEL = Sam(dataclasses.replace(CONFIG, final_norm=True))

STRANGER = """
import sys
import jax, jax.export, numpy as np, safetensors.numpy
program, weights, feeds, out = sys.argv[1:]
program = jax.export.deserialize(bytearray(open(program, "rb").read()))
weights = safetensors.numpy.load_file(weights)
feeds = np.load(feeds)
found = program.call(weights, *(feeds[name] for name in feeds.files))
found = found if isinstance(found, dict) else {"image_embeddings": found}
np.savez(out, **found)
assert "samjax" not in sys.modules
"""


@pytest.fixture(scope="module")
def params():
    return params_of(MODEL)


def embedding(seed=0):
    shape = (CONFIG.grid_size, CONFIG.grid_size, CONFIG.prompt_embed_dim)
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def picture(height, width):
    rng = np.random.default_rng(height)
    return rng.integers(0, 256, (height, width, 3), np.uint8)


def embed(params, image):
    return embedding_of(MODEL, params, image)[0].transpose(1, 2, 0)


def as_a_stranger(tmp_path, out, feeds):
    np.savez(tmp_path / "feeds.npz", **feeds)
    files = (out, out.with_suffix(".safetensors"), "feeds.npz", "found.npz")
    command = [
        sys.executable,
        "-c",
        STRANGER,
        *(str(tmp_path / file) for file in files),
    ]
    subprocess.run(command, check=True, cwd=tmp_path)
    return np.load(tmp_path / "found.npz")


def off(found, wanted):
    return np.abs(found - wanted).max() / np.sqrt(np.mean(np.square(wanted)))


def test_the_files_of_a_decoder_answer_where_there_is_no_samjax(tmp_path, params):
    out = tmp_path / "decoder.stablehlo"
    done = stablehlo.export_decoder(MODEL, params, [embedding()], out)
    assert done.agreement.logit_error < 1e-4
    report = json.loads(done.report.read_text())
    assert report["platforms"] == ["cpu", "cuda", "tpu"]
    assert set(report["files"]) == {"decoder.stablehlo", "decoder.safetensors"}

    # Other prompts than it was verified with, some of one image at once.
    asked = draw_prompts(MODEL, [embedding(1)], seed=1)[:3]
    most = max(feeds["point_labels"].shape[1] for feeds in asked)
    feeds = {"image_embeddings": asked[0]["image_embeddings"]}
    for name, value in (("point_coords", 0), ("point_labels", -2)):
        # Points of label -2 are none.
        padded = [
            np.pad(
                one[name],
                ((0, 0), (0, most - one[name].shape[1]), (0, 0))[: one[name].ndim],
                constant_values=value,
            )
            for one in asked
        ]
        feeds[name] = np.concatenate(padded)
    for name in ("mask_input", "has_mask_input"):
        feeds[name] = np.concatenate([one[name] for one in asked])
    found = as_a_stranger(tmp_path, out, feeds)
    wanted = predict(MODEL, params, asked)
    for i, (logits, scores) in enumerate(wanted):
        assert off(found["low_res_masks"][i], logits[0]) < 1e-4
        np.testing.assert_allclose(found["iou_predictions"][i], scores[0], atol=1e-4)
    assert off(found["low_res_masks"][0], wanted[1][0][0]) > 1e-2


def test_the_files_of_an_encoder_embed_images_of_any_size(tmp_path, params):
    out = tmp_path / "encoder.stablehlo"
    image = picture(40, 64)
    done = stablehlo.export_encoder(MODEL, params, image, embed(params, image), out)
    names = [file.name for file in done.files]
    assert names == ["encoder.stablehlo", "encoder.safetensors"]
    assert done.error < 2e-5
    pair = np.stack([picture(64, 21), picture(64, 21)[::-1]])
    feeds = {"images": pair.astype(np.float32)}
    found = as_a_stranger(tmp_path, out, feeds)["image_embeddings"]
    for one, image in zip(found, pair, strict=True):
        assert off(one, embed(params, image).transpose(2, 0, 1)) < 2e-5


def test_programs_know_all_platforms_and_hold_no_weights(params):
    wide = Sam(dataclasses.replace(CONFIG, embed_dim=96, prompt_embed_dim=64))
    for lower in (stablehlo.lower_decoder, stablehlo.lower_encoder):
        few, many = lower(MODEL, params), lower(wide, random_params(wide, seed=0))
        assert few.exported.platforms == ("cpu", "cuda", "tpu")
        numbers = [sum(a.size for a in each.weights.values()) for each in (few, many)]
        assert numbers[1] > 5 * numbers[0]
        sizes = [len(each.exported.serialize()) for each in (few, many)]
        assert sizes[1] < 1.1 * sizes[0]


def test_what_is_not_the_model_is_not_written(tmp_path, params):
    out = tmp_path / "encoder.stablehlo"
    image = picture(40, 64)
    wrong = 1.1 * embed(params, image)
    with pytest.raises(NotTheModel, match="nothing was written"):
        stablehlo.export_encoder(MODEL, params, image, wrong, out)
    assert list(tmp_path.iterdir()) == []


def test_weights_may_be_stored_as_float16(params):
    _, whole = stablehlo.lower_encoder(MODEL, params)
    _, small = stablehlo.lower_encoder(MODEL, params, "float16")
    size = {id(w): sum(a.nbytes for a in w.values()) for w in (whole, small)}
    assert size[id(small)] < 0.6 * size[id(whole)]
    with pytest.raises(ValueError, match="got the storage int8"):
        stablehlo.lower_encoder(MODEL, params, "int8")


def test_an_encoder_too_large_for_onnx_is_refused_with_what_to_do(
    tmp_path, params, monkeypatch
):
    monkeypatch.setattr(encoder_files, "_LARGEST_FILE", 10_000)
    image = picture(40, 64)
    with pytest.raises(ValueError, match=r"float16, or write a \.stablehlo file"):
        export_encoder(MODEL, params, image, embedding(), tmp_path / "encoder.onnx")
