"""Texts as prompts of the exported pair: the masks are the model's, with a text or without."""

import dataclasses

import numpy as np
import pytest

pytest.importorskip("onnxruntime")

from small_text_sam import SMALL_TEXT, random_params

from samjax.export import prompt_text_files
from samjax.export.decoder_files import compare
from samjax.export.decoder_graphs import write_pair
from samjax.export.files import NotTheModel
from samjax.export.image_graph import read_decoder
from samjax.export.prompt_text_files import export_prompt_text
from samjax.export.prompt_text_graph import write_prompt_text
from samjax.inference.texts import embed_text, tokenizer_of
from samjax.models.text_sam import TextSam

TEXTS = ["a red cup", "the handle of the spoon", "cup"]


# The comparison with the image and the token; configs without the first are below.
CONFIG = dataclasses.replace(SMALL_TEXT, text_similarity_width=8)


@pytest.fixture(scope="module")
def made():
    """A model, its parameters, an embedding and the pair that takes texts."""
    model, params = TextSam(CONFIG), random_params(CONFIG)
    side, channels = CONFIG.grid_size, CONFIG.prompt_embed_dim
    features = np.random.default_rng(1).standard_normal(
        (side, side, channels), np.float32
    )
    pair = write_pair(read_decoder(model, params), takes_text=True)
    graphs = {name: graph.SerializeToString() for name, graph in pair._asdict().items()}
    return model, params, features, graphs


def export(made, out, storage="float32"):
    model, params, features, graphs = made
    vectors = np.stack([embed_text(model, params, text) for text in TEXTS])
    return export_prompt_text(
        model,
        params,
        tokenizer_of(model)(TEXTS),
        vectors,
        features,
        graphs,
        out,
        storage=storage,
    )


def test_masks_of_texts_are_the_model_s(made, tmp_path):
    measured = export(made, tmp_path / "text.onnx")
    assert measured.prompts == len(TEXTS)
    assert max(measured.logit_error, measured.score_error) < 1e-4
    assert measured.mask_iou > 0.999 and (tmp_path / "text.onnx").is_file()


def test_without_a_text_the_same_pair_is_the_decoder(made):
    model, params, features, graphs = made
    measured = compare(graphs, model, params, [features])
    assert max(measured.logit_error, measured.score_error) < 1e-4


def test_masks_that_differ_are_not_written(made, tmp_path, monkeypatch):
    monkeypatch.setattr(prompt_text_files, "LEAST_IOU", 1.01)
    with pytest.raises(NotTheModel, match="nothing was written"):
        export(made, tmp_path / "text.onnx")
    assert not list(tmp_path.iterdir())


def test_a_model_that_compares_no_cells_has_a_token_alone(tmp_path):
    graph = write_prompt_text(TextSam(SMALL_TEXT), random_params(SMALL_TEXT)).graph
    assert [of.name for of in graph.output] == ["text_tokens"]
    assert [of.name for of in graph.input] == ["tokens"]


def test_weights_may_be_stored_smaller(made, tmp_path):
    measured = export(made, tmp_path / "text.onnx", storage="float16")
    assert measured.mask_iou > 0.9
