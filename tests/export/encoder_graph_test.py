"""The exported image encoder, in onnxruntime, beside the model."""

import dataclasses

import numpy as np
import pytest
from small_export import CONFIG, embedding_of, params_of

from samjax.export import encoder_graph
from samjax.export.encoder_graph import write_encoder
from samjax.models import Sam

onnxruntime = pytest.importorskip("onnxruntime")


def embed(graph, image):
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    (found,) = session.run(["image_embeddings"], {"image": image.astype(np.float32)})
    return found


@pytest.mark.parametrize("window", [3, 4])
@pytest.mark.parametrize("largest", [2**22, 2**9])
def test_an_image_is_embedded_as_by_the_model(monkeypatch, window, largest):
    # Few logits at a time: the queries of the global block go in eight blocks.
    monkeypatch.setattr(encoder_graph, "_LARGEST_LOGITS", largest)
    model = Sam(dataclasses.replace(CONFIG, window_size=window))
    params = params_of(model)
    graph = write_encoder(model, params)
    matmuls = sum(node.op_type == "MatMul" for node in graph.graph.node)
    assert (matmuls > 40) == (largest == 2**9)
    for size in ((64, 64), (40, 64), (64, 21)):
        image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
        wanted = embedding_of(model, params, image)
        error = np.abs(embed(graph, image) - wanted).max()
        assert error < 2e-5 * np.sqrt(np.mean(np.square(wanted)))


def test_a_final_norm_is_in_the_graph():
    model = Sam(dataclasses.replace(CONFIG, final_norm=True))
    params = params_of(model)
    image = np.random.default_rng(0).integers(0, 256, (40, 64, 3), np.uint8)
    wanted = embedding_of(model, params, image)
    found = embed(write_encoder(model, params), image)
    assert np.abs(found - wanted).max() < 2e-5 * np.sqrt(np.mean(np.square(wanted)))
    without = embed(write_encoder(Sam(CONFIG), params), image)
    assert np.abs(without - wanted).max() > 1e-2


def test_relative_positions_that_are_all_zero_cost_nothing():
    model = Sam(CONFIG)
    params = params_of(model)
    image = np.random.default_rng(0).integers(0, 256, (40, 64, 3), np.uint8)
    zeroed = (("blocks_0", "rel_pos_h"), ("blocks_0", "rel_pos_w"))
    zeroed += (("blocks_1", "rel_pos_w"),)
    # A block with one table of zeros adds both.
    for (block, table), left in zip(zeroed, (3, 2, 2), strict=True):
        attention = params["image_encoder"][block]["attn"]
        attention[table] = 0 * attention[table]
        graph = write_encoder(model, params)
        kinds = [node.op_type for node in graph.graph.node]
        assert kinds.count("Unsqueeze") == 2 * left
        wanted = embedding_of(model, params, image)
        error = np.abs(embed(graph, image) - wanted).max()
        assert error < 2e-5 * np.sqrt(np.mean(np.square(wanted)))


def test_padding_is_zero_after_normalization_and_not_black():
    model = Sam(CONFIG)
    params = params_of(model)
    graph = write_encoder(model, params)
    image = np.random.default_rng(0).integers(0, 256, (40, 64, 3), np.uint8)
    black = np.zeros((64, 64, 3), np.uint8)
    black[:40] = image
    difference = np.abs(embed(graph, image) - embed(graph, black)).max()
    assert difference > 1e-2


@pytest.mark.parametrize("storage", ["float16", "int8"])
def test_weights_may_be_stored_smaller(storage):
    model = Sam(dataclasses.replace(CONFIG, embed_dim=64))
    params = params_of(model)
    small, whole = (
        len(write_encoder(model, params, kind).SerializeToString())
        for kind in (storage, "float32")
    )
    assert small < 0.75 * whole
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    wanted = embedding_of(model, params, image)
    found = embed(write_encoder(model, params, storage), image)
    error = np.abs(found - wanted).max() / np.sqrt(np.mean(np.square(wanted)))
    assert 1e-6 < error < {"float16": 0.05, "int8": 1.0}[storage]


def test_large_products_may_be_computed_in_8_bits():
    model = Sam(CONFIG)
    params = params_of(model)
    graph = write_encoder(model, params, "float16", "int8")
    kinds = [node.op_type for node in graph.graph.node]
    # Four layers of a block, and its queries with its keys.
    assert kinds.count("MatMulInteger") == 5 * CONFIG.depth
    image = np.random.default_rng(0).integers(0, 256, (40, 64, 3), np.uint8)
    wanted = embedding_of(model, params, image)
    difference = embed(graph, image) - wanted
    error = np.sqrt(np.mean(np.square(difference)) / np.mean(np.square(wanted)))
    assert 1e-4 < error < 0.05
