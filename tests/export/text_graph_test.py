"""The exported text tower, in onnxruntime, beside the model."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from small_text_sam import SMALL_TEXT, random_params

from samjax.export.files import NotTheModel
from samjax.export.text_files import export_text
from samjax.export.text_graph import write_text_tower
from samjax.inference.texts import sample_texts, tokenizer_of
from samjax.models import Sam
from samjax.models.text_sam import TextSam

onnxruntime = pytest.importorskip("onnxruntime")

TEXTS = ["the red cup", "spoon", "the handle of the red cup"]


def run(content, tokens):
    session = onnxruntime.InferenceSession(content)
    return session.run(
        ["text", "prompt_tokens"], {"tokens": np.asarray(tokens, np.int64)}
    )


def expected(model, params, tokens):
    apply = jax.jit(model.apply, static_argnames="method")
    vectors = np.asarray(apply({"params": params}, tokens, method="embed_text"))
    layer = params["prompt_encoder"]["text_projection"]
    return vectors, vectors @ layer["kernel"] + layer["bias"]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"quick_gelu": False},
        {"words": (), "vocab_size": 49_408, "context_length": 77},
        {"words": (), "text_tower": "siglip"},
    ],
)
def test_texts_have_the_vectors_and_tokens_of_the_model(changes):
    config = dataclasses.replace(SMALL_TEXT, **changes)
    model, params = TextSam(config), random_params(config)
    content = write_text_tower(model, params).SerializeToString()
    if config.text_tower == "siglip":  # whose vocabulary comes with its weights
        tokens = np.array([[5, 1, 4, 0, 0, 0, 0, 0, 0, 0], [3] * 10], np.int32)
    else:
        tokens = tokenizer_of(model)(TEXTS)
    for rows in (tokens, tokens[:1]):
        for got, wanted in zip(
            run(content, rows), expected(model, params, rows), strict=True
        ):
            np.testing.assert_allclose(got, wanted, atol=2e-5)


@pytest.mark.parametrize("storage, error", [("float16", 2e-3), ("int8", 0.05)])
def test_weights_may_be_stored_smaller(storage, error):
    config = dataclasses.replace(SMALL_TEXT, vocab_size=2_011, words=())
    model, params = TextSam(config), random_params(config)
    tokens = np.array([[2_009, 5, 900, 2_010, 0, 0, 0, 0, 0, 0]], np.int32)
    sizes = {}
    for kind in ("float32", storage):
        content = write_text_tower(model, params, kind).SerializeToString()
        sizes[kind] = len(content)
        found = run(content, tokens)[0]
    wanted = expected(model, params, tokens)[0]
    assert 0 < np.abs(found - wanted).max() < error
    assert sizes[storage] < 0.75 * sizes["float32"]


def test_the_file_has_its_vocabulary_beside_it(tmp_path):
    model, params = TextSam(SMALL_TEXT), random_params()
    tokens = tokenizer_of(model)(TEXTS)
    vectors, _ = expected(model, params, tokens)
    done = export_text(model, params, tokens, vectors, tmp_path / "text.onnx")
    assert done.error < 2e-5
    report = json.loads(done.report.read_text())
    assert report["words"] == list(SMALL_TEXT.words)
    assert report["context_length"] == 10 and report["tokenizer"] == "words"
    assert run(done.file.read_bytes(), np.array([[9, 1, 4, 10] + [0] * 6]))[
        0
    ].shape == (1, 12)


def test_another_model_is_not_written(tmp_path, monkeypatch):
    from samjax.export import text_files

    params, others = random_params(), random_params(seed=1)
    monkeypatch.setattr(
        text_files,
        "write_text_tower",
        lambda model, _, storage: write_text_tower(model, others, storage),
    )
    model = TextSam(SMALL_TEXT)
    tokens = tokenizer_of(model)(TEXTS)
    vectors, _ = expected(model, params, tokens)
    with pytest.raises(NotTheModel):
        export_text(model, params, tokens, vectors, tmp_path / "text.onnx")
    assert not list(tmp_path.iterdir())


def test_a_model_without_text_has_none_to_export(tmp_path):
    tokens, vectors = np.zeros((1, 10), np.int32), np.zeros((1, 12), np.float32)
    with pytest.raises(ValueError, match="without a text tower"):
        export_text(Sam(SMALL_TEXT), {}, tokens, vectors, tmp_path / "text.onnx")
    with pytest.raises(ValueError, match="without a text tower"):
        sample_texts(Sam(SMALL_TEXT))


def test_texts_to_try_a_model_with_are_of_its_words():
    assert sample_texts(TextSam(SMALL_TEXT)) == ["red", "cup", "spoon", "handle"]
    plain = dataclasses.replace(SMALL_TEXT, words=(), vocab_size=49_408)
    assert len(sample_texts(TextSam(plain))) == 3
